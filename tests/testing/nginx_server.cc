#include "tests/testing/nginx_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"

namespace lockstep::testing {
namespace {

namespace files = std::filesystem;

constexpr char kProgram[] = "/usr/sbin/nginx";
constexpr int kAttempts = 5;  // somebody else may take the port meanwhile

std::string ReadFile(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

sockaddr_in Loopback(int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  return address;
}

int FreePort() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof address;
  ::bind(fd, reinterpret_cast<sockaddr*>(&address), size);
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  ::close(fd);
  return ntohs(address.sin_port);
}

bool Answers(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(port);
  const bool connected = ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  ::close(fd);
  return connected;
}

pid_t Run(const std::vector<std::string>& words) {
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  const int null = ::open("/dev/null", O_WRONLY);
  ::dup2(null, 1);
  ::dup2(null, 2);
  ::execvp(arguments[0], arguments.data());
  ::_exit(127);
}

absl::Status MakeCertificate(const std::string& folder) {
  const pid_t pid = Run({"openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                         "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout",
                         folder + "/key.pem", "-out", folder + "/certificate.pem"});
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0
             ? absl::OkStatus()
             : absl::UnavailableError("openssl made no certificate");
}

std::string Configuration(const std::string& folder, const std::string& locations, int port, bool tls) {
  const std::string own = absl::StrReplaceAll(locations, {{"ROOT", folder + "/root"}});
  return absl::StrCat(::geteuid() == 0 ? "user root;\n" : "", "daemon off; worker_processes 1; pid ", folder,
                      "/pid; error_log ", folder, "/error.log;\nevents { worker_connections 64; }\nhttp {\n",
                      "  log_format line '$request_method $uri $status $http_range';\n  access_log ", folder,
                      "/access.log line;\n  client_body_temp_path ", folder, "; proxy_temp_path ", folder,
                      "; fastcgi_temp_path ", folder, "; uwsgi_temp_path ", folder, "; scgi_temp_path ",
                      folder, ";\n  server {\n    listen 127.0.0.1:", port, tls ? " ssl" : "", ";\n",
                      tls ? absl::StrCat("    ssl_certificate ", folder,
                                         "/certificate.pem; ssl_certificate_key ", folder, "/key.pem;\n")
                          : "",
                      "    root ", folder, "/root;\n", own, "\n  }\n}\n");
}

void End(pid_t pid) {
  ::kill(pid, SIGTERM);
  ::waitpid(pid, nullptr, 0);
}

}  // namespace

bool NginxServer::Installed() { return ::access(kProgram, X_OK) == 0; }

absl::StatusOr<std::unique_ptr<NginxServer>> NginxServer::Start(const std::string& folder,
                                                                const std::string& locations, bool tls) {
  files::create_directories(folder + "/root");
  if (tls) RETURN_IF_ERROR(MakeCertificate(folder));
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const int port = FreePort();
    std::ofstream(folder + "/nginx.conf") << Configuration(folder, locations, port, tls);
    const pid_t pid =
        Run({kProgram, "-p", folder, "-c", folder + "/nginx.conf", "-e", folder + "/error.log"});
    for (int i = 0; i < 2000; ++i) {
      if (Answers(port)) return std::unique_ptr<NginxServer>(new NginxServer(folder, port, tls, pid));
      if (::waitpid(pid, nullptr, WNOHANG) == pid) break;  // it has ended: perhaps the port was taken
      if (i == 1999) End(pid);
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
  return absl::UnavailableError(absl::StrCat("nginx does not start: ", ReadFile(folder + "/error.log")));
}

NginxServer::~NginxServer() { End(pid_); }

std::string NginxServer::address() const {
  return absl::StrCat(tls_ ? "https" : "http", "://127.0.0.1:", port_);
}
std::string NginxServer::Requests() const {
  // A line is written after its answer was sent: until no more come.
  std::string seen = ReadFile(folder_ + "/access.log"), before;
  do {
    before = std::move(seen);
    absl::SleepFor(absl::Milliseconds(200));
    seen = ReadFile(folder_ + "/access.log");
  } while (seen != before);
  return seen;
}

}  // namespace lockstep::testing
