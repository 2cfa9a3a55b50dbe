"""Building blocks shared by the backbones and heads."""
