"""Measure what heads cost: python benchmark.py [structure=si64] [heads=[panpgs]]; python benchmark.py --help."""

from scalarpath.cli import benchmark

if __name__ == "__main__":
    benchmark()
