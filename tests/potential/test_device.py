"""A device that is not there is one sentence, wherever it is asked for."""

from __future__ import annotations

import pytest
import torch

from scalarpath.core.errors import ConfigError
from scalarpath.potential.device import usable_device


@pytest.mark.parametrize("name", ["cuda", "cuda:3", "mps", "gpu", "cuda:x"])
def test_a_device_that_is_not_there_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=rf"^device={name}.*use .*cpu[^\n]*\.$"):
        usable_device(name)


def test_devices_that_are_there_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert usable_device("cuda:1") == torch.device("cuda:1")
    assert usable_device(torch.device("cpu")).type == "cpu"
    with pytest.raises(ConfigError, match=r"can use 2 GPU\(s\) here"):
        usable_device("cuda:2")
