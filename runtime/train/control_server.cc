#include "runtime/train/control_server.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <list>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "runtime/core/clock.h"
#include "runtime/core/file_system.h"
#include "runtime/core/thread.h"
#include "runtime/train/run_folder.h"

namespace lockstep::train {
namespace {

constexpr size_t kMostRequestBytes = 255;
constexpr size_t kMostAnswerBytes = size_t{1} << 20;
constexpr size_t kMostClients = 16;
constexpr absl::Duration kPatience = absl::Seconds(60);  // for a vote
constexpr absl::Duration kSlice = absl::Milliseconds(100);
constexpr absl::Duration kTakeoverPatience = absl::Seconds(3);
constexpr absl::Duration kMoment = absl::Milliseconds(500);  // from the old socket's name to the new one's

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() { Reset(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  void Reset() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
};

// The address of a socket in the folder that `folder` is open on. A path of its own may be longer than the
// 107 bytes that an address holds.
sockaddr_un AddressIn(const Descriptor& folder, absl::string_view name) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  const std::string path = absl::StrCat("/proc/self/fd/", folder.get(), "/", name);
  std::memcpy(address.sun_path, path.data(), std::min(path.size(), sizeof(address.sun_path) - 1));
  return address;
}

std::string NameIn(const std::string& path) { return path.substr(path.find_last_of('/') + 1); }

void SetTimeout(int fd, absl::Duration timeout) {
  const timeval value = absl::ToTimeval(timeout);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &value, sizeof value);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &value, sizeof value);
}

bool SendAll(int fd, absl::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    text.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

// Up to a newline, or with `line` off up to the end.
bool ReceiveText(int fd, bool line, size_t most, std::string* text) {
  char buffer[512];
  while (text->size() <= most) {
    const ssize_t got = recv(fd, buffer, sizeof buffer, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return false;
    if (got == 0) return !line;
    text->append(buffer, static_cast<size_t>(got));
    const size_t newline = text->find('\n');
    if (!line || newline == text->npos) continue;
    text->resize(newline);
    return text->size() <= most;
  }
  return false;
}

absl::StatusOr<int> Listen(const std::string& path) {
  const Descriptor folder(open(ParentFolder(path).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() < 0) return absl::InternalError(ErrnoText(ParentFolder(path), errno));
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return absl::InternalError(ErrnoText("socket", errno));
  const sockaddr_un address = AddressIn(folder, NameIn(path));
  unlinkat(folder.get(), NameIn(path).c_str(), 0);  // of a rank 0 that died; the run folder is ours
  // The mode before the name is there, so that at no moment anyone else can connect.
  const bool bound = fchmod(fd, 0600) == 0 &&
                     bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
                     listen(fd, kMostClients) == 0;
  if (bound) return fd;
  const int error = errno;
  close(fd);
  return absl::InternalError(ErrnoText(path, error));
}

ino_t NodeOf(const std::string& path) {
  struct stat info = {};
  return lstat(path.c_str(), &info) == 0 ? info.st_ino : 0;
}

}  // namespace

class ControlServer::Impl {
 public:
  Impl(int listener, std::string path, ControlDesk* desk, ControlLimits limits)
      : listener_(listener),
        wake_(eventfd(0, EFD_CLOEXEC)),
        path_(std::move(path)),
        node_(NodeOf(path_)),
        desk_(desk),
        limits_(std::move(limits)),
        thread_([this] { Loop(); }) {}

  ~Impl() {
    stop_ = true;
    desk_->Close();
    const uint64_t one = 1;
    (void)!write(wake_.get(), &one, sizeof one);
    thread_.join();
    for (Client& client : clients_) client.thread.join();
    // Not that of a rank that took over because this one was thought dead.
    if (NodeOf(path_) == node_) unlink(path_.c_str());
  }

 private:
  struct Client {
    std::atomic<bool> done{false};
    std::thread thread;
  };

  void Loop() {
    NameThread("control");
    while (!stop_) {
      pollfd events[] = {{listener_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
      if (poll(events, 2, -1) < 0 || stop_) continue;
      Forget();
      const int fd = accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) {
        absl::SleepFor(kSlice);  // no descriptors left, perhaps: not in a circle without rest
        continue;
      }
      if (clients_.size() >= kMostClients) {
        close(fd);
        continue;
      }
      Client& client = clients_.emplace_back();
      client.thread = std::thread([this, fd, &client] {
        Serve(fd);
        client.done = true;
      });
    }
  }

  void Forget() {
    clients_.remove_if([](Client& client) {
      if (!client.done) return false;
      client.thread.join();
      return true;
    });
  }

  void Serve(int fd) {
    const Descriptor connection(fd);
    SetTimeout(fd, absl::Seconds(2));
    std::string request;
    if (!ReceiveText(fd, /*line=*/true, kMostRequestBytes, &request)) return;
    const absl::StatusOr<std::string> answer = Answer(request);
    if (!answer.ok() && absl::IsCancelled(answer.status())) return;
    SendAll(fd,
            answer.ok() ? absl::StrCat("ok\n", *answer) : absl::StrCat("error\n", answer.status().message()));
  }

  absl::StatusOr<std::string> Answer(const std::string& request) {
    return AnswerRequest(request, limits_, *desk_, kPatience);
  }

  const Descriptor listener_, wake_;
  const std::string path_;
  const ino_t node_;
  ControlDesk* const desk_;
  const ControlLimits limits_;
  std::atomic<bool> stop_{false};
  std::list<Client> clients_;
  std::thread thread_;  // last: it uses all of the above
};

ControlServer::ControlServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ControlServer::~ControlServer() = default;

std::unique_ptr<ControlServer> ControlServer::Start(const std::string& path, ControlDesk* desk,
                                                    ControlLimits limits, Logger* log) {
  const auto listener = Listen(path);
  if (!listener.ok()) {
    log->Warning(absl::StrCat("`lockstep ctl` cannot reach this run: ", listener.status().message()));
    return nullptr;
  }
  return std::unique_ptr<ControlServer>(
      new ControlServer(std::make_unique<Impl>(*listener, path, desk, std::move(limits))));
}

absl::StatusOr<std::string> AskRun(const std::string& run_folder, absl::string_view request,
                                   absl::Duration patience) {
  const std::string path = RunPaths(run_folder).control();
  const Descriptor folder(open(run_folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() < 0) return ConfigError(ErrnoText(absl::StrCat("there is no run in ", run_folder), errno));
  const Descriptor connection(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_un address = AddressIn(folder, NameIn(path));
  // A rank that takes over from a dead rank 0 needs a moment.
  const Deadline deadline = Deadline::After(kTakeoverPatience);
  while (connect(connection.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const int error = errno;
    if (error == EACCES || error == EPERM) return ConfigError(ErrnoText(path, error));
    if (deadline.Passed() || (error == ENOENT && deadline.Left() < kTakeoverPatience - kMoment)) {
      return ConfigError(absl::StrCat("no run answers in ", run_folder,
                                      error == ENOENT ? ": it has no control.sock, so none is training there"
                                                      : ": whoever made its control.sock is gone",
                                      " (on this machine: ask where rank 0 runs)"));
    }
    absl::SleepFor(kSlice);
  }
  SetTimeout(connection.get(), patience);
  std::string answer;
  if (!SendAll(connection.get(), absl::StrCat(request, "\n")) ||
      !ReceiveText(connection.get(), /*line=*/false, kMostAnswerBytes, &answer)) {
    return ConfigError(
        absl::StrCat("the run in ", run_folder, " did not answer: ", ErrnoText("control.sock", errno)));
  }
  absl::string_view rest = answer;
  if (absl::ConsumePrefix(&rest, "ok\n")) return std::string(rest);
  if (absl::ConsumePrefix(&rest, "error\n")) return ConfigError(rest);
  return ConfigError(absl::StrCat("the run in ", run_folder,
                                  " closed the connection: it ended, or another rank takes over; ask again"));
}

}  // namespace lockstep::train
