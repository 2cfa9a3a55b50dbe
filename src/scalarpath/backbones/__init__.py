"""Equivariant backbones and their registry."""

from scalarpath.backbones.interface import Backbone, backbone_class, build_backbone

__all__ = ["Backbone", "backbone_class", "build_backbone"]
