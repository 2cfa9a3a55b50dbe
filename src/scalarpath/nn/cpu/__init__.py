"""Kernels for CPUs in C++, compiled at their first use; without a compiler everything runs in torch's operations."""
