// What Python calls: for every kernel one function per type of numbers T, which gets the struct of the kernel and a call
// (twice_differentiable.py). The structs are described in Python; structs.py writes structs.h from that.
#pragma once
#include "dual.h"
#include "structs.h"

#define KERNEL_OF_TYPE(name, Struct, T, type, ...)                                                            \
    extern "C" void name##_##type(const scalarpath::Struct<T>* n, const scalarpath::Call<T>* call) {          \
        using namespace scalarpath;                                                                           \
        using Number = T;                                                                                     \
        __VA_ARGS__                                                                                           \
    }
#define KERNEL_OF_TYPES(name, Struct, ...)                     \
    KERNEL_OF_TYPE(name, Struct, float, float32, __VA_ARGS__)  \
    KERNEL_OF_TYPE(name, Struct, double, float64, __VA_ARGS__)

// Of a function name<T>(struct, call).
#define KERNEL(name, Struct) KERNEL_OF_TYPES(name, Struct, name<Number>(*n, *call);)

// Of a function name<T, N>(struct, call) for numbers N without or with tangents (dual.h).
#define KERNEL_ON_DUALS(name, Struct)                          \
    KERNEL_OF_TYPES(                                           \
        name, Struct, if (call->tangents) name<Number, WithTangents<Number>>(*n, *call); \
        else name<Number, Plain<Number>>(*n, *call);)
