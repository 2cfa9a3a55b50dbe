// Numbers with a tangent: what a derivative becomes when its inputs move.
#pragma once
#include <cmath>
#include <cstdint>

namespace scalarpath {

template <class T>
struct Dual {
    T value, tangent;
    Dual(T value = 0, T tangent = 0) : value(value), tangent(tangent) {}
    Dual& operator+=(Dual b) { return *this = {value + b.value, tangent + b.tangent}; }
    Dual& operator-=(Dual b) { return *this = {value - b.value, tangent - b.tangent}; }
    friend Dual operator+(Dual a, Dual b) { return a += b; }
    friend Dual operator-(Dual a, Dual b) { return a -= b; }
    friend Dual operator*(Dual a, Dual b) { return {a.value * b.value, a.tangent * b.value + a.value * b.tangent}; }
    friend Dual operator/(Dual a, Dual b) {
        const T q = a.value / b.value;
        return {q, (a.tangent - q * b.tangent) / b.value};
    }
};

// value and tangent of a number at an address, and back
template <class T>
inline void read(T& to, const T* values, const T*, int64_t at) {
    to = values[at];
}
template <class T>
inline void read(Dual<T>& to, const T* values, const T* tangents, int64_t at) {
    to = {values[at], tangents[at]};
}
template <class T>
inline T highest(T x) {
    return x;
}
template <class T>
inline T highest(Dual<T> x) {
    return x.tangent;
}

template <class T>
inline T square_root(T x) {
    return std::sqrt(x);
}
template <class T>
inline Dual<T> square_root(Dual<T> x) {
    const T s = std::sqrt(x.value);
    return {s, x.tangent / (T(2) * s)};
}

template <class T>
inline T arcsinh(T x) {
    return std::asinh(x);
}
template <class T>
inline Dual<T> arcsinh(Dual<T> x) {
    return {std::asinh(x.value), x.tangent / std::sqrt(T(1) + x.value * x.value)};
}

}  // namespace scalarpath
