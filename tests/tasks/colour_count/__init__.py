"""A task of its own for the tests: how many colours an image shows, a number per image."""
