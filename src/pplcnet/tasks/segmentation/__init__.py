"""Segmentation: a class for every pixel (MobileSeg, DeepLabV3+, LR-ASPP)."""
