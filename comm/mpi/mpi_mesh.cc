#include "comm/mpi/mpi_mesh.h"

#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "comm/mpi/mpi_launch.h"
#include "comm/mpi/mpi_session.h"

namespace lockstep::comm {
namespace {

// Peers that end together hear each other's goodbyes within this; others are heard later.
constexpr absl::Duration kGoodbyeTime = absl::Milliseconds(20);

// Every rank's text on every rank; "-why" from a rank that cannot go on is everyone's error, made by `error`.
absl::StatusOr<std::vector<std::string>> Compare(Meeting& meeting, const std::string& name,
                                                 const absl::StatusOr<std::string>& mine,
                                                 absl::Status (*error)(absl::string_view),
                                                 Deadline deadline) {
  auto all =
      meeting.Exchange(name, mine.ok() ? "+" + *mine : absl::StrCat("-", mine.status().message()), deadline);
  if (!mine.ok()) return mine.status();
  if (!all.ok()) return all.status();
  for (int rank = 0; rank < meeting.size(); ++rank) {
    std::string& text = (*all)[rank];
    if (text.empty() || text[0] != '+')
      return error(absl::StrCat("rank ", rank, " reports: ", text.substr(text.empty() ? 0 : 1, 1000)));
    text.erase(0, 1);
  }
  return all;
}

// The MPI job of this process, if it can carry a world of `ranks`.
absl::StatusOr<std::string> OwnJob(int ranks) {
  const auto environment = [](const char* variable) {
    const char* value = std::getenv(variable);
    return std::string(value == nullptr ? "" : value);
  };
  ASSIGN_OR_RETURN(const MpiJob job, MpiJobFromEnvironment(environment, MpiLibrary()));
  if (job.size == 0 || job.size == ranks || MpiSession::Started()) return job.name;
  return ConfigError(absl::StrCat("backend mpi: the MPI job has ", job.size, " processes and this world ",
                                  ranks, " ranks; MPI can only start in all processes together"));
}

// Whether all ranks are processes of one MPI job, and, where MPI is yet to be started, all of them.
absl::Status CheckJob(Meeting& meeting, const std::string& name, Deadline deadline) {
  const auto mine = OwnJob(meeting.size());
  ASSIGN_OR_RETURN(const auto jobs, Compare(meeting, name, mine, ConfigError, deadline));
  for (int rank = 0; rank < meeting.size(); ++rank) {
    if (jobs[rank] == *mine) continue;
    return ConfigError(absl::StrCat("backend mpi: rank ", meeting.rank(), " belongs to the MPI job '", *mine,
                                    "', rank ", rank, " to '", jobs[rank],
                                    "'; they cannot reach each other"));
  }
  return absl::OkStatus();
}

// The ranks' places in MPI_COMM_WORLD, and a tag that all use to make their communicator.
struct Places {
  std::vector<int> world_ranks;
  int tag = 0;
};
absl::StatusOr<Places> ExchangePlaces(Meeting& meeting, const std::string& name,
                                      const absl::StatusOr<MpiSession*>& session, Deadline deadline) {
  const auto own = [&]() -> absl::StatusOr<std::string> {
    if (!session.ok()) return session.status();
    return absl::StrCat((*session)->world_rank(), " ", (*session)->NextTag());
  };
  const auto mine = own();
  ASSIGN_OR_RETURN(const auto texts, Compare(meeting, name, mine, PeerError, deadline));
  Places places;
  for (int rank = 0; rank < meeting.size(); ++rank) {
    const std::vector<std::string> words = absl::StrSplit(texts[rank], ' ');
    int place = -1, tag = 0;
    if (words.size() != 2 || !absl::SimpleAtoi(words[0], &place) || !absl::SimpleAtoi(words[1], &tag) ||
        place < 0 || place >= (*session)->world_size() || tag < 0) {
      return PeerError(
          absl::StrCat("rank ", rank, " gave its place in MPI_COMM_WORLD as '", texts[rank], "'"));
    }
    for (int other = 0; other < rank; ++other) {
      if (places.world_ranks[other] != place) continue;
      return ConfigError(absl::StrCat("backend mpi: ranks ", other, " and ", rank,
                                      " are the same MPI process; each rank needs one of its own"));
    }
    places.world_ranks.push_back(place);
    if (rank == 0) places.tag = tag;
  }
  return places;
}

}  // namespace

MpiMesh::~MpiMesh() {
  const Deadline deadline = Deadline::After(kGoodbyeTime);
  while (!transport_->Close()) {
    if (deadline.Passed()) {
      transport_->session().Retire([transport = transport_] { return transport->Close(); });
      return;
    }
    absl::SleepFor(absl::Microseconds(100));
  }
}

absl::StatusOr<std::unique_ptr<MpiMesh>> OpenMpiMesh(Meeting& meeting, const MpiOptions& options,
                                                     Deadline deadline) {
  const std::string prefix = absl::StrCat("mpi/", options.generation, "/");
  RETURN_IF_ERROR(CheckJob(meeting, prefix + "job", deadline));
  const auto session = MpiSession::Start(deadline);
  ASSIGN_OR_RETURN(const Places places, ExchangePlaces(meeting, prefix + "place", session, deadline));
  (*session)->SetExitPatience(options.exit_patience);
  ASSIGN_OR_RETURN(const MPI_Comm comm, (*session)->MakeComm(places.world_ranks, places.tag, deadline));
  auto transport = std::make_shared<MpiTransport>(**session, comm, meeting.rank(), meeting.size(),
                                                  options.largest_message_bytes);
  RETURN_IF_ERROR(transport->Open());
  return std::make_unique<MpiMesh>(std::move(transport));
}

absl::StatusOr<std::unique_ptr<Mesh>> MakeMpiMesh(Meeting& meeting, const MpiOptions& options,
                                                  Deadline deadline) {
  return OpenMpiMesh(meeting, options, deadline);
}

}  // namespace lockstep::comm
