"""Prints the golden values of tests/data/order_test.cc, from a second implementation of runtime/data/order.h.

python scripts/golden/make_order.py      (standard library only)
"""
M = 2**64 - 1


def mix64(x):
    x = (x + 0x9E3779B97F4A7C15) & M
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & M
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & M
    return x ^ (x >> 31)


def derive_key(seed, purpose):
    key = mix64(seed ^ 0x6C6F636B73746570)
    for c in purpose.encode():
        key = mix64(key ^ c)
    return mix64(key ^ len(purpose))


def philox(key, low, high):
    k, c = [key & 0xFFFFFFFF, key >> 32], [low & 0xFFFFFFFF, low >> 32, high & 0xFFFFFFFF, high >> 32]
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & 0xFFFFFFFF, (p0 >> 32) ^ c[3] ^ k[1], p0 & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def permutation(key, a, b, size, index):
    rows = 1 << max(0, (size - 1).bit_length() // 2 - 1)
    while rows * rows < size:
        rows += 1
    columns = -(-size // rows)
    keys = []
    for i in range(0, 8, 2):
        bits = philox(key, a, b * 8 + i)
        keys += [bits[0] | bits[1] << 32, bits[2] | bits[3] << 32]
    cell = index
    while True:
        row, column = divmod(cell, columns)
        for i in range(0, 8, 2):
            row = (row + (mix64(column ^ keys[i]) * rows >> 64)) % rows
            column = (column + (mix64(row ^ keys[i + 1]) * columns >> 64)) % columns
        cell = row * columns + column
        if cell < size:
            return cell


def shuffle(seed, epoch, size, index):
    return permutation(derive_key(seed, "data/order"), epoch, 0, size, index)


def block_shuffle(seed, epoch, size, block, window, place):
    """Where the short block lies is found by walking over the windows, not by an inverse."""
    key, blocks = derive_key(seed, "data/order"), -(-size // block)
    last = size - (blocks - 1) * block
    slots = [permutation(mix64(key), epoch, 0, blocks, s) for s in range(blocks)]
    first_slot = first_place = 0
    while True:
        mine = slots[first_slot : first_slot + window]
        places = sum(last if b == blocks - 1 else block for b in mine)
        if place < first_place + places:
            break
        first_place, first_slot = first_place + places, first_slot + window
    inside = permutation(mix64(key ^ 1), epoch, first_slot, places, place - first_place)
    for b in mine:
        here = last if b == blocks - 1 else block
        if inside < here:
            return b * block + inside
        inside -= here


for seed, epoch in ((0, 0), (1, 0), (1, 1)):
    print(seed, epoch, [shuffle(seed, epoch, 10, i) for i in range(10)])
print(shuffle(42, 3, 10**12, 0), shuffle(42, 3, 10**12, 10**12 - 1))
for seed, epoch in ((0, 0), (1, 4)):
    print("blocks", seed, epoch, [block_shuffle(seed, epoch, 10, 3, 2, i) for i in range(10)])
large = [block_shuffle(42, 3, 10**12, 1 << 20, 1000, i) for i in (0, 10**12 - 1)]
print("blocks", large)
