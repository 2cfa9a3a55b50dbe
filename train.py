"""Train a potential: ``python train.py backbone=mace head=panpgs data=si``; all options in conf/train.yaml."""

from scalarpath.cli import train

if __name__ == "__main__":
    train()
