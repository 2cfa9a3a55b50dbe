// Several neighbouring numbers at once, in the vector types of GCC and Clang.
#pragma once
#include <cstdint>
#include <cstring>

namespace scalarpath {

#ifdef __AVX512F__
constexpr int64_t LANE_BYTES = 64;
#else
constexpr int64_t LANE_BYTES = 32;
#endif

template <class T>
struct Lanes {
    typedef T type __attribute__((vector_size(LANE_BYTES)));
    static constexpr int64_t count = LANE_BYTES / sizeof(T);
};

template <class V, class T>
inline V load(const T* from) {
    V values;
    std::memcpy(&values, from, sizeof values);
    return values;
}

template <class V, class T>
inline void store(T* to, V values) {
    std::memcpy(to, &values, sizeof values);
}

// A running sum in lanes takes lanes, or a single number in its first one.
template <class V>
inline void add(V& total, V values) {
    total += values;
}
template <class V, class T>
inline void add(V& total, T value) {
    total[0] += value;
}

// The sum of all lanes, by halves.
template <class T>
inline T sum(typename Lanes<T>::type values) {
    T parts[Lanes<T>::count];
    std::memcpy(parts, &values, sizeof values);
    for (int64_t half = Lanes<T>::count / 2; half > 0; half /= 2)
        for (int64_t k = 0; k < half; k++) parts[k] += parts[k + half];
    return parts[0];
}

// body(zero of the type to work in, first channel) over n channels: lanes while they last, then single numbers.
template <class T, class F>
inline void over_channels(int64_t n, F&& body) {
    int64_t c = 0;
    for (; c + Lanes<T>::count <= n; c += Lanes<T>::count) body(typename Lanes<T>::type{}, c);
    for (; c < n; c++) body(T{}, c);
}

}  // namespace scalarpath
