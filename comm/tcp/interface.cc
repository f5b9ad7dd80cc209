// Which address a rank listens on.
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <sys/socket.h>

#include <cerrno>
#include <fstream>
#include <memory>
#include <set>
#include <string>

#include "absl/strings/str_join.h"
#include "comm/tcp/listener.h"

namespace lockstep::comm {
namespace {

// The interface of the route to 0.0.0.0/0 (man 5 proc, /proc/net/route); "" without one.
std::string DefaultRouteInterface() {
  std::ifstream routes("/proc/net/route");
  std::string line, name, destination;
  std::getline(routes, line);  // the heading
  while (routes >> name >> destination) {
    if (destination == "00000000") return name;
    std::getline(routes, line);
  }
  return "";
}

std::string TextOf(const sockaddr* address) {
  char text[NI_MAXHOST];
  const socklen_t length = address->sa_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  if (getnameinfo(address, length, text, sizeof text, nullptr, 0, NI_NUMERICHOST) != 0) return "";
  return text;
}

}  // namespace

absl::StatusOr<std::string> ListenAddress(bool loopback, const std::string& name) {
  if (loopback) return std::string("127.0.0.1");
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return PeerError(ErrnoText("cannot list the network interfaces", errno));
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner(list, freeifaddrs);
  const std::string wanted = name.empty() ? DefaultRouteInterface() : name;
  std::set<std::string> known;
  std::string six, any;
  for (const ifaddrs* one = list; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || (one->ifa_flags & IFF_UP) == 0) continue;
    const int family = one->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6) continue;
    known.insert(one->ifa_name);
    const bool usable = (one->ifa_flags & IFF_LOOPBACK) == 0 && family == AF_INET;
    if (usable && any.empty()) any = TextOf(one->ifa_addr);
    if (one->ifa_name != wanted) continue;
    if (family == AF_INET) return TextOf(one->ifa_addr);
    if (six.empty()) six = TextOf(one->ifa_addr);
  }
  if (!six.empty()) return six;
  if (name.empty() && !any.empty()) return any;
  return ConfigError(absl::StrCat("no network interface '", wanted,
                                  "' that is up with an address; there are: ", absl::StrJoin(known, ", ")));
}

}  // namespace lockstep::comm
