// Some of the ranks of a transport, numbered from 0: for collectives among them.
#ifndef LOCKSTEP_COMM_P2P_SUBSET_TRANSPORT_H_
#define LOCKSTEP_COMM_P2P_SUBSET_TRANSPORT_H_

#include <utility>
#include <vector>

#include "comm/p2p/transport.h"

namespace lockstep::comm {

// Rank i here is rank members[i] of `whole`, which outlives this. Errors name ranks as `whole` does.
class SubsetTransport : public Transport {
 public:
  SubsetTransport(Transport& whole, std::vector<int> members) : whole_(whole), members_(std::move(members)) {}

  absl::Status Exchange(absl::Span<const Outgoing> sends, absl::Span<const Incoming> recvs,
                        const char* phase) override {
    std::vector<Outgoing> mapped_sends(sends.begin(), sends.end());
    std::vector<Incoming> mapped_recvs(recvs.begin(), recvs.end());
    for (Outgoing& send : mapped_sends) send.to = members_[send.to];
    for (Incoming& recv : mapped_recvs) recv.from = members_[recv.from];
    return whole_.Exchange(mapped_sends, mapped_recvs, phase);
  }

 private:
  Transport& whole_;
  const std::vector<int> members_;
};

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_P2P_SUBSET_TRANSPORT_H_
