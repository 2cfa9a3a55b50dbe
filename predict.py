"""Predictions: ``python predict.py model=... path=... output=...``; all options in conf/predict.yaml."""

from scalarpath.cli import predict

if __name__ == "__main__":
    predict()
