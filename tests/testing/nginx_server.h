// A real web server on the loopback interface, for tests.
#ifndef LOCKSTEP_TESTS_TESTING_NGINX_SERVER_H_
#define LOCKSTEP_TESTS_TESTING_NGINX_SERVER_H_

#include <sys/types.h>

#include <memory>
#include <string>

#include "runtime/core/status.h"

namespace lockstep::testing {

// Started with Start, ended with the object (and with the process, whatever ends that).
class NginxServer {
 public:
  // Whether the program is there.
  static bool Installed();

  // Serves the files of `folder`/root. `locations` is put into the server's block: more locations, in nginx's words, where
  // ROOT stands for the folder of files. `tls`: https, with a certificate for 127.0.0.1 that is made by openssl and lies at
  // certificate(). Logs are in `folder`. Error: what went wrong, with the log's last lines.
  static absl::StatusOr<std::unique_ptr<NginxServer>> Start(const std::string& folder,
                                                            const std::string& locations, bool tls = false);
  ~NginxServer();
  NginxServer(const NginxServer&) = delete;
  NginxServer& operator=(const NginxServer&) = delete;

  std::string root() const { return folder_ + "/root"; }
  std::string address() const;  // "http://127.0.0.1:40123"
  std::string certificate() const { return folder_ + "/certificate.pem"; }
  std::string Requests() const;  // the log: a line a request, "GET /a 206 bytes=0-9"

 private:
  NginxServer(std::string folder, int port, bool tls, pid_t pid)
      : folder_(std::move(folder)), port_(port), tls_(tls), pid_(pid) {}

  const std::string folder_;
  const int port_;
  const bool tls_;
  const pid_t pid_;
};

}  // namespace lockstep::testing

#endif  // LOCKSTEP_TESTS_TESTING_NGINX_SERVER_H_
