// Who makes up the next generation: pure functions of what a member knows. Internal to comm/.
#ifndef LOCKSTEP_COMM_MEMBERSHIP_RULES_H_
#define LOCKSTEP_COMM_MEMBERSHIP_RULES_H_

#include <set>
#include <string>
#include <vector>

#include "comm/membership/files.h"

namespace lockstep::comm {

// What is known of one member of the generation that ends.
struct Candidate {
  Member member;
  bool present = false;       // has come, and lives as far as is known
  bool leaving = false;       // goes, as it wants
  std::string why_not;        // when not present: why it is not waited for any longer; "" while it is
  std::vector<int> suspects;  // numbers of those whom it could not reach
};

// Numbers of the present ones to leave out, so that none who remain suspect each other. Greedy: the one with
// the most conflicts goes first, among equals the one of the highest rank. Of two halves that cannot reach
// each other the larger remains, of equal ones that of the lowest rank; a rank that nobody reaches, or that
// reaches nobody, goes alone.
std::set<int> Unreachable(const std::vector<Candidate>& by_rank);

// By machine, in the order of the machines' lowest member numbers, then by number: ranks of one machine are
// consecutive.
void SortByMachine(std::vector<Member>& members);

// The record of `generation`. `size`: so many of the present at most, those of the lowest ranks; 0: all.
// Newcomers, in their order, while there are fewer than `most` members (0: any number), and never when `size`
// is given. No members: there is nothing to claim.
MembershipRecord NextRecord(uint64_t generation, const std::vector<Candidate>& by_rank, int size,
                            const std::vector<JoinRequest>& newcomers, int most, int next_number);

// OK, or ConfigError naming the first field in which a newcomer differs.
absl::Status CompareCredentials(const Credentials& run, const Credentials& newcomer);

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_MEMBERSHIP_RULES_H_
