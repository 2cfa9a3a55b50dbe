// Elementary functions of numbers, of lanes of them (lanes.h), and of both with tangents (dual.h).
#pragma once
#include <cmath>
#include <cstdint>

#include "dual.h"
#include "lanes.h"

namespace scalarpath {

// What the exponential of a type needs: log 2 in two parts, the number 1.5 x 2^mantissa, which pushes the whole part of
// what is added to it into the primal bits, the degree to which the series of exp converges on |x| < log(2) / 2, and
// between which arguments its value is a normal number.
template <class T>
struct Exponent;
template <>
struct Exponent<float> {
    typedef uint32_t bits __attribute__((vector_size(LANE_BYTES)));
    static constexpr int mantissa = 23, degree = 7;
    static constexpr float high = 0.693359375f, low = -2.12194440e-4f, push = 12582912.0f, least = -87.0f, most = 88.0f;
};
template <>
struct Exponent<double> {
    typedef uint64_t bits __attribute__((vector_size(LANE_BYTES)));
    static constexpr int mantissa = 52, degree = 13;
    static constexpr double high = 6.93145751953125e-1, low = 1.42860682030941723212e-6, push = 6755399441055744.0,
                            least = -708.0, most = 709.0;
};

// 1 / k!
template <class T>
struct Series {
    T of[26];
    constexpr Series() : of{T(1)} {
        for (int k = 1; k < 26; k++) of[k] = of[k - 1] / T(k);
    }
};

// exp x = 2^n exp(x - n log 2), n the whole number next to x / log 2.
template <class T>
inline typename Lanes<T>::type exponential_of_lanes(typename Lanes<T>::type x) {
    using V = typename Lanes<T>::type;
    using E = Exponent<T>;
    using Bits = typename E::bits;
    x = x < E::least ? V{} + E::least : x;
    x = x > E::most ? V{} + E::most : x;
    const V pushed = x * T(1.4426950408889634) + E::push, n = pushed - E::push;
    const V rest = (x - n * E::high) - n * E::low;
    static constexpr Series<T> coefficient;
    V sum = V{} + coefficient.of[E::degree];
    for (int k = E::degree; k > 0; k--) sum = sum * rest + coefficient.of[k - 1];
    return (V)((Bits)sum + ((Bits)pushed << E::mantissa));
}

inline float exponential(float x) { return std::exp(x); }
inline double exponential(double x) { return std::exp(x); }
inline Lanes<float>::type exponential(Lanes<float>::type x) { return exponential_of_lanes<float>(x); }
inline Lanes<double>::type exponential(Lanes<double>::type x) { return exponential_of_lanes<double>(x); }
template <class V>
inline Dual<V> exponential(Dual<V> x) {
    const V e = exponential(x.value);
    return {e, e * x.tangent};
}

// sin and cos of pi x for x between 0 and 1, from the series around a half.
template <class V>
struct Wave {
    V sine, cosine;
};
template <class T>
inline Wave<typename Lanes<T>::type> wave(typename Lanes<T>::type x) {
    using V = typename Lanes<T>::type;
    static constexpr Series<T> coefficient;
    constexpr int degree = sizeof(T) == 4 ? 12 : 24;
    const V y = (x - T(0.5)) * T(3.14159265358979323846), square = y * y;
    V even = V{} + coefficient.of[degree], odd = V{} + coefficient.of[degree + 1];
    for (int k = degree - 2; k >= 0; k -= 2) {
        even = coefficient.of[k] - even * square;
        odd = coefficient.of[k + 1] - odd * square;
    }
    return {even, odd * y * T(-1)};
}
template <class T, class V>
inline Wave<Dual<V>> wave(Dual<V> x) {
    const Wave<V> w = wave<T>(x.value);
    const V turn = x.tangent * T(3.14159265358979323846);
    return {{w.sine, w.cosine * turn}, {w.cosine, w.sine * turn * T(-1)}};
}
// of the sum of two angles
template <class V>
inline Wave<V> operator*(Wave<V> a, Wave<V> b) {
    return {a.sine * b.cosine + a.cosine * b.sine, a.cosine * b.cosine - a.sine * b.sine};
}

template <class T, class V>
inline V sigmoid(V x) {
    return T(1) / (T(1) + exponential(x * T(-1)));
}

template <class T, class V>
inline V hyperbolic_tangent(V x) {
    return T(1) - T(2) / (T(1) + exponential(x * T(2)));
}
// Their tangents come from their values: the one of the exponential may overflow where theirs is zero.
template <class T, class V>
inline Dual<V> sigmoid(Dual<V> x) {
    const V s = sigmoid<T>(x.value);
    return {s, s * (T(1) - s) * x.tangent};
}
template <class T, class V>
inline Dual<V> hyperbolic_tangent(Dual<V> x) {
    const V t = hyperbolic_tangent<T>(x.value);
    return {t, (T(1) - t * t) * x.tangent};
}

template <class T>
inline T sine(T x) {
    return std::sin(x);
}
template <class T>
inline Dual<T> sine(Dual<T> x) {
    return {std::sin(x.value), std::cos(x.value) * x.tangent};
}
template <class T>
inline T cosine(T x) {
    return std::cos(x);
}
template <class T>
inline Dual<T> cosine(Dual<T> x) {
    return {std::cos(x.value), std::sin(x.value) * x.tangent * T(-1)};
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
