// The edges of an atom in lanes.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "dual.h"
#include "lanes.h"

namespace scalarpath {

// Lanes of edges of one atom whose neighbours have the same species; the last edge is repeated where they do not fill.
template <class T>
struct Block {
    static constexpr int64_t size = Lanes<T>::count;
    int64_t edge[size], filled, species;

    // numbers in lanes from those of single lanes
    template <class N, class F>
    typename N::template Of<typename Lanes<T>::type> gathered(F&& number) const {
        alignas(LANE_BYTES) T values[size], tangents[size];
        for (int64_t lane = 0; lane < size; lane++) {
            const typename N::template Of<T> x = number(edge[lane], lane);
            values[lane] = primal(x);
            tangents[lane] = result(x);
        }
        return N{values, tangents}.template get<typename Lanes<T>::type>(0);
    }

    // body(edge, number) for every edge once
    template <class F>
    void scatter(typename Lanes<T>::type numbers, F&& body) const {
        for (int64_t lane = 0; lane < filled; lane++) body(edge[lane], numbers[lane]);
    }
};

// The blocks of one atom after another; element [atoms], neighbour [edges].
template <class T>
class Blocks {
   public:
    Blocks(int64_t species, const int64_t* element, const int64_t* first_edge, const int64_t* neighbour)
        : element(element), first_edge(first_edge), neighbour(neighbour), edges(species) {}

    const std::vector<Block<T>>& of(int64_t atom) {
        blocks.clear();
        for (int64_t e = first_edge[atom]; e < first_edge[atom + 1]; e++) edges[element[neighbour[e]]].push_back(e);
        for (size_t species = 0; species < edges.size(); species++) {
            const std::vector<int64_t>& its = edges[species];
            const int64_t count = its.size();
            for (int64_t k = 0; k < count; k += Block<T>::size) {
                Block<T> block{{}, std::min(count - k, Block<T>::size), int64_t(species)};
                for (int64_t lane = 0; lane < Block<T>::size; lane++)
                    block.edge[lane] = its[std::min(k + lane, count - 1)];
                blocks.push_back(block);
            }
            edges[species].clear();
        }
        return blocks;
    }

   private:
    const int64_t *element, *first_edge, *neighbour;
    std::vector<std::vector<int64_t>> edges;  // by species
    std::vector<Block<T>> blocks;
};

}  // namespace scalarpath
