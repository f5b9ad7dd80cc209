// What two plain TCP sockets carry between two processes of this machine: the bytes that a two-rank
// all-reduce must exchange, without its additions. Two processes, pinned to a core each, joined by two
// loopback connections, one for each direction. An iteration: both rewrite what they send, meet, then each
// sends SIZE bytes and receives SIZE bytes at once (poll, non-blocking). A process's figure is its median,
// and the slower one's is printed.
//   c++ -O3 -std=c++20 socket_exchange.cc && ./a.out [MIN_BYTES MAX_BYTES FACTOR ITERATIONS]...
// prints "bytes microseconds", a line a size.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace {

constexpr int kWarmup = 5;

[[noreturn]] void Fail(const char* what) {
  std::perror(what);
  std::_Exit(1);
}

// What the two processes share to meet and to compare.
struct Shared {
  std::atomic<unsigned> arrived{0};
  double seconds[2] = {};
};

// A loopback connection: [0] connects, [1] accepts.
void Connect(int ends[2]) {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  if (listener < 0 || bind(listener, reinterpret_cast<sockaddr*>(&address), length) != 0 ||
      listen(listener, 1) != 0 ||
      getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    Fail("listen");
  }
  ends[0] = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(ends[0], reinterpret_cast<sockaddr*>(&address), length) != 0) Fail("connect");
  ends[1] = accept(listener, nullptr, nullptr);
  if (ends[1] < 0) Fail("accept");
  close(listener);
  const int yes = 1;
  for (int i = 0; i < 2; ++i) setsockopt(ends[i], IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

void Exchange(int out, int in, const std::vector<char>& send_from, std::vector<char>& receive_into) {
  size_t sent = 0, received = 0;
  while (sent < send_from.size() || received < receive_into.size()) {
    bool moved = false;
    if (sent < send_from.size()) {
      const ssize_t n =
          send(out, send_from.data() + sent, send_from.size() - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (n > 0) sent += n, moved = true;
      if (n < 0 && errno != EAGAIN) Fail("send");
    }
    if (received < receive_into.size()) {
      const ssize_t n =
          recv(in, receive_into.data() + received, receive_into.size() - received, MSG_DONTWAIT);
      if (n > 0) received += n, moved = true;
      if (n == 0 || (n < 0 && errno != EAGAIN)) Fail("recv");
    }
    if (moved) continue;
    pollfd polled[2] = {{sent < send_from.size() ? out : -1, POLLOUT, 0},
                        {received < receive_into.size() ? in : -1, POLLIN, 0}};
    poll(polled, 2, 1000);
  }
}

// The two ends of one process.
struct Process {
  Shared& shared;
  int me, out, in;
  unsigned meetings = 0;

  void Meet() {
    ++meetings;
    shared.arrived.fetch_add(1);
    while (shared.arrived.load() < 2 * meetings) sched_yield();
  }

  void Measure(size_t bytes, int iterations) {
    std::vector<char> send_from(bytes), receive_into(bytes);
    std::vector<double> seconds;
    for (int i = -kWarmup; i < iterations; ++i) {
      std::memset(send_from.data(), i & 127, bytes);
      Meet();
      const auto start = std::chrono::steady_clock::now();
      Exchange(out, in, send_from, receive_into);
      const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
      if (i >= 0) seconds.push_back(passed.count());
      if (i < 0 && std::memcmp(send_from.data(), receive_into.data(), bytes) != 0) Fail("wrong bytes");
    }
    std::sort(seconds.begin(), seconds.end());
    shared.seconds[me] = seconds[(seconds.size() - 1) / 2];
    Meet();
    if (me != 0) return;
    std::printf("%zu %.3f\n", bytes, 1e6 * std::max(shared.seconds[0], shared.seconds[1]));
    std::fflush(stdout);
  }
};

void PinToCore(int index) {
  cpu_set_t usable, mine;
  sched_getaffinity(0, sizeof usable, &usable);
  CPU_ZERO(&mine);
  for (int core = 0, seen = 0; core < CPU_SETSIZE; ++core) {
    if (!CPU_ISSET(core, &usable)) continue;
    if (seen++ == index) CPU_SET(core, &mine);
  }
  if (CPU_COUNT(&mine) == 1) sched_setaffinity(0, sizeof mine, &mine);
}

}  // namespace

int main(int argc, char** argv) {
  void* const page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) Fail("mmap");
  Shared& shared = *new (page) Shared;
  int there[2], back[2];
  Connect(there);
  Connect(back);
  const pid_t child = fork();
  if (child < 0) Fail("fork");
  const int me = child == 0 ? 1 : 0;
  PinToCore(me);
  Process process{shared, me, me == 0 ? there[0] : back[0], me == 0 ? back[1] : there[1]};
  for (int at = 1; at + 3 < argc; at += 4) {
    const size_t least = std::strtoull(argv[at], nullptr, 10),
                 greatest = std::strtoull(argv[at + 1], nullptr, 10);
    const size_t factor = std::max(2ull, std::strtoull(argv[at + 2], nullptr, 10));
    const int iterations = std::max(1, std::atoi(argv[at + 3]));
    for (size_t bytes = least; bytes <= greatest; bytes *= factor) process.Measure(bytes, iterations);
  }
  if (child != 0) waitpid(child, nullptr, 0);
  return 0;
}
