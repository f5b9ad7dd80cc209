#include "launcher/core_binding.h"

#include <hwloc.h>
#include <hwloc/glibc-sched.h>

#include <limits>
#include <memory>

namespace lockstep::launcher {
namespace {

struct DestroyTopology {
  void operator()(hwloc_topology_t topology) const { hwloc_topology_destroy(topology); }
};
struct FreeBitmap {
  void operator()(hwloc_bitmap_t bitmap) const { hwloc_bitmap_free(bitmap); }
};
using Topology = std::unique_ptr<std::remove_pointer_t<hwloc_topology_t>, DestroyTopology>;
using Bitmap = std::unique_ptr<std::remove_pointer_t<hwloc_bitmap_t>, FreeBitmap>;

// The machine as far as this process may use it; null when it cannot be read.
Topology UsableTopology() {
  hwloc_topology_t raw = nullptr;
  if (hwloc_topology_init(&raw) != 0) return nullptr;
  Topology topology(raw);
  if (hwloc_topology_load(raw) != 0) return nullptr;
  const Bitmap allowed(hwloc_bitmap_alloc());
  if (hwloc_get_cpubind(raw, allowed.get(), HWLOC_CPUBIND_PROCESS) == 0) {
    hwloc_topology_restrict(raw, allowed.get(), 0);
  }
  return topology;
}

}  // namespace

absl::StatusOr<std::vector<cpu_set_t>> DistributeCores(int ranks) {
  const Topology topology = UsableTopology();
  if (topology == nullptr)
    return absl::InternalError("hwloc cannot read this machine's topology; use --bind none");
  if (hwloc_get_nbobjs_by_type(topology.get(), HWLOC_OBJ_PU) < ranks) return std::vector<cpu_set_t>();
  std::vector<hwloc_cpuset_t> shares(ranks, nullptr);
  hwloc_obj_t root = hwloc_get_root_obj(topology.get());
  hwloc_distrib(topology.get(), &root, 1, shares.data(), ranks, std::numeric_limits<int>::max(), 0);
  std::vector<cpu_set_t> sets(ranks);
  for (int rank = 0; rank < ranks; ++rank) {
    const Bitmap share(shares[rank]);
    hwloc_cpuset_to_glibc_sched_affinity(topology.get(), share.get(), &sets[rank], sizeof(cpu_set_t));
  }
  return sets;
}

}  // namespace lockstep::launcher
