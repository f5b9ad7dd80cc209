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


def permutation(seed, epoch, size, index):
    rows = 1
    while rows * rows < size:  # fast enough up to 10^12
        rows += 1
    columns = -(-size // rows)
    keys = []
    for i in range(0, 8, 2):
        b = philox(derive_key(seed, "data/order"), epoch, i)
        keys += [b[0] | b[1] << 32, b[2] | b[3] << 32]
    cell = index
    while True:
        row, column = divmod(cell, columns)
        for i in range(0, 8, 2):
            row = (row + (mix64(column ^ keys[i]) * rows >> 64)) % rows
            column = (column + (mix64(row ^ keys[i + 1]) * columns >> 64)) % columns
        cell = row * columns + column
        if cell < size:
            return cell


for seed, epoch in ((0, 0), (1, 0), (1, 1)):
    print(seed, epoch, [permutation(seed, epoch, 10, i) for i in range(10)])
print(permutation(42, 3, 10**12, 0), permutation(42, 3, 10**12, 10**12 - 1))
