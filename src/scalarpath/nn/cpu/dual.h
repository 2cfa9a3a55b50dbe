// Dual numbers: a value and its tangent (forward-mode differentiation). One number, or lanes of them (lanes.h).
#pragma once
#include <cstdint>
#include <type_traits>
#include <vector>

#include "lanes.h"

namespace scalarpath {

template <class V>
struct Dual {
    V value{}, tangent{};
};

template <class A, class B>
using Product = decltype(A{} * B{});
template <class C>
struct HasTangent : std::false_type {};
template <class V>
struct HasTangent<Dual<V>> : std::true_type {};
template <class C>
using IfPlain = std::enable_if_t<!HasTangent<C>::value>;

template <class A, class B>
inline Dual<Product<A, B>> operator+(Dual<A> a, Dual<B> b) {
    return {a.value + b.value, a.tangent + b.tangent};
}
template <class A, class B>
inline Dual<Product<A, B>> operator-(Dual<A> a, Dual<B> b) {
    return {a.value - b.value, a.tangent - b.tangent};
}
template <class A, class B>
inline Dual<Product<A, B>> operator*(Dual<A> a, Dual<B> b) {
    return {a.value * b.value, a.tangent * b.value + a.value * b.tangent};
}
template <class A, class B>
inline Dual<Product<A, B>> operator/(Dual<A> a, Dual<B> b) {
    const Product<A, B> q = a.value / b.value;
    return {q, (a.tangent - q * b.tangent) / b.value};
}
template <class A, class B>
inline Dual<A>& operator+=(Dual<A>& a, Dual<B> b) {
    return a = {a.value + b.value, a.tangent + b.tangent};
}

// with a number that has no tangent
template <class A>
inline Dual<A>& operator+=(Dual<A>& a, A x) {
    a.value += x;
    return a;
}
template <class A, class C, class = IfPlain<C>>
inline Dual<A> operator+(Dual<A> a, C c) {
    return {a.value + c, a.tangent};
}
template <class A, class C, class = IfPlain<C>>
inline Dual<A> operator+(C c, Dual<A> a) {
    return a + c;
}
template <class A, class C, class = IfPlain<C>>
inline Dual<A> operator-(Dual<A> a, C c) {
    return {a.value - c, a.tangent};
}
template <class A, class C, class = IfPlain<C>>
inline Dual<A> operator-(C c, Dual<A> a) {
    return {c - a.value, -a.tangent};
}
template <class A, class C, class = IfPlain<C>>
inline Dual<Product<A, C>> operator*(Dual<A> a, C c) {
    return {a.value * c, a.tangent * c};
}
template <class A, class C, class = IfPlain<C>>
inline Dual<Product<A, C>> operator*(C c, Dual<A> a) {
    return a * c;
}
template <class A, class C, class = IfPlain<C>>
inline Dual<Product<A, C>> operator/(Dual<A> a, C c) {
    return {a.value / c, a.tangent / c};
}
template <class A, class C, class = IfPlain<C>>
inline Dual<Product<A, C>> operator/(C c, Dual<A> a) {
    const Product<A, C> q = c / a.value;
    return {q, -q * a.tangent / a.value};
}

// The value without its tangent; and what a run of a kernel gives: the tangent of a dual number, else the number.
template <class V>
inline V primal(V x) {
    return x;
}
template <class V>
inline V primal(Dual<V> x) {
    return x.value;
}
template <class V>
inline V result(V x) {
    return x;
}
template <class V>
inline V result(Dual<V> x) {
    return x.tangent;
}

// As in lanes.h.
template <class V>
inline void add(Dual<V>& total, Dual<V> x) {
    total += x;
}
template <class V, class T>
inline void add(Dual<V>& total, Dual<T> x) {
    add(total.value, x.value);
    add(total.tangent, x.tangent);
}
template <class T>
inline Dual<T> sum(Dual<typename Lanes<T>::type> x) {
    return {sum<T>(x.value), sum<T>(x.tangent)};
}

// Numbers in a row of memory, plain, or with tangents in a row of their own; V: one number, or lanes of them.
template <class T>
struct Plain {
    template <class V>
    using Of = V;
    const T *values, *tangents;  // the latter are not read
    template <class V>
    V get(int64_t at) const {
        return load<V>(values + at);
    }
    Plain from(int64_t at) const { return {values + at, nullptr}; }
};
template <class T>
struct WithTangents {
    template <class V>
    using Of = Dual<V>;
    const T *values, *tangents;
    template <class V>
    Dual<V> get(int64_t at) const {
        return {load<V>(values + at), load<V>(tangents + at)};
    }
    WithTangents from(int64_t at) const { return {values + at, tangents + at}; }
};

// Room for such numbers.
template <class T>
struct Room {
    std::vector<T> values, tangents;
    explicit Room(int64_t size) : values(size), tangents(size) {}
    template <class V>
    void set(int64_t at, V x) {
        store(values.data() + at, x);
    }
    template <class V>
    void set(int64_t at, Dual<V> x) {
        store(values.data() + at, x.value);
        store(tangents.data() + at, x.tangent);
    }
    template <class Row>
    Row row(int64_t at = 0) const {
        return Row{values.data(), tangents.data()}.from(at);
    }
};

}  // namespace scalarpath
