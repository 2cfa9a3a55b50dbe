// Atoms shared out to threads.
#pragma once
#include <algorithm>
#include <cstdint>

namespace scalarpath {

// work(thread, first atom, last atom + 1) on every thread, with about as many edges each; first_edge [atoms + 1].
template <class F>
void share_out(int64_t atoms, const int64_t* first_edge, int64_t threads, F&& work) {
    if (threads == 1) return work(0, 0, atoms);
    const auto begin = [&](int64_t t) -> int64_t {
        const int64_t wanted = first_edge[atoms] * t / threads;
        return t == threads ? atoms : std::lower_bound(first_edge, first_edge + atoms, wanted) - first_edge;
    };
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int64_t t = 0; t < threads; t++) work(t, begin(t), begin(t + 1));
}

}  // namespace scalarpath
