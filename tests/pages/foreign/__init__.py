"""A task outside of pplcnet, without probabilities, whose report brings its own template."""
