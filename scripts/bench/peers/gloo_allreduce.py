"""What torch's Gloo does on this machine, measured as `lockstep comm all_reduce` measures.

In-place sum of floats; before each iteration every rank rewrites its whole buffer and all meet in a barrier; a
rank's figure is its median, and the slowest rank's is printed. Each rank is pinned to one core.

    OMP_NUM_THREADS=1 GLOO_SOCKET_IFNAME=lo python -m torch.distributed.run --nproc-per-node 2 \
        --master-addr 127.0.0.1 gloo_allreduce.py [MIN_BYTES MAX_BYTES FACTOR ITERATIONS]...

prints "bytes microseconds", a line a size.
"""

import os
import sys
import time

import torch
import torch.distributed as dist

WARMUP = 5


def median_seconds(values, iterations):
    seconds = []
    for i in range(-WARMUP, iterations):
        values.fill_(1.0)
        dist.barrier()
        start = time.perf_counter()
        dist.all_reduce(values)
        if i >= 0:
            seconds.append(time.perf_counter() - start)
    return sorted(seconds)[(len(seconds) - 1) // 2]


def measure(size, iterations):
    values = torch.empty(size // 4)
    slowest = torch.tensor([median_seconds(values, iterations)], dtype=torch.float64)
    assert (values == dist.get_world_size()).all(), f"wrong sum at {size} bytes"
    dist.all_reduce(slowest, op=dist.ReduceOp.MAX)
    if dist.get_rank() == 0:
        print(f"{size} {slowest.item() * 1e6:.3f}", flush=True)


def main():
    cores = sorted(os.sched_getaffinity(0))
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    if dist.get_world_size() <= len(cores):
        os.sched_setaffinity(0, {cores[dist.get_rank()]})
    words = [int(word) for word in sys.argv[1:]]
    for size, greatest, factor, iterations in zip(*[iter(words)] * 4):
        while size <= greatest:
            measure(size, iterations)
            size *= factor
    dist.destroy_process_group()


main()
