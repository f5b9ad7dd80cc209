// A run on one rank, from its setting up to its result. RunTraining (trainer.h) is its only user.
//
// Some of its parts are made once: configuration, data, programs, the state of the model, the optimizer. The
// others belong to a generation, and a change of membership makes them anew: the communicator, what computes
// and reduces (team, replica, evaluator), and on rank 0 what writes. One file for each concern:
//   session.cc             what is made once
//   session_generation.cc  what belongs to a generation
//   session_resume.cc      from a checkpoint
//   session_writers.cc     the folder and observers of the rank that writes
//   session_checkpoints.cc what writes checkpoints
//   session_heal.cc        work that killed its rank, and going back when states differ
//   session_run.cc         training, the result, and going on with other members
#ifndef LOCKSTEP_RUNTIME_TRAIN_SESSION_H_
#define LOCKSTEP_RUNTIME_TRAIN_SESSION_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "comm/membership.h"
#include "runtime/train/audience.h"
#include "runtime/train/banner.h"
#include "runtime/train/busy.h"
#include "runtime/train/checkpoint_writer.h"
#include "runtime/train/compression/compressor.h"
#include "runtime/train/control_desk.h"
#include "runtime/train/control_server.h"
#include "runtime/train/evaluator.h"
#include "runtime/train/feed.h"
#include "runtime/train/integrity.h"
#include "runtime/train/interruption.h"
#include "runtime/train/kept_best.h"
#include "runtime/train/lane_team.h"
#include "runtime/train/model_state.h"
#include "runtime/train/observer.h"
#include "runtime/train/optimizer.h"
#include "runtime/train/replica.h"
#include "runtime/train/result.h"
#include "runtime/train/run_folder.h"
#include "runtime/train/run_point.h"
#include "runtime/train/takeover.h"
#include "runtime/train/trace.h"
#include "runtime/train/train_loop.h"
#include "runtime/train/trainer.h"
#include "runtime/train/work_marks.h"

namespace lockstep::train {

// One run of one rank. Prepare, then Train; members are destroyed in the reverse order of their making.
class Session {
 public:
  explicit Session(const TrainOptions& options);
  ~Session();

  // Everything before the first step. Collective; errors are the same on every rank.
  absl::Status Prepare();
  // Steps, validations, checkpoints, and the result. After Prepare.
  absl::StatusOr<TrainResult> Train();
  // Writes RUN/result.json for a run that failed, if this rank writes results.
  void ReportFailure(const absl::Status& status);

  // What --dry-run prints. Alone, without communicator and folder.
  absl::StatusOr<std::string> Describe();

 private:
  // session.cc
  absl::Status PrepareToJoin();  // of a newcomer to a run that others train
  absl::Status OpenData();       // feed_
  absl::Status BuildPrograms();  // programs
  absl::Status AgreeOnRun();     // same build, recipe and data on every rank
  void MakeState();              // state_, optimizer_
  absl::Status Probe();          // same bits on every rank
  comm::Credentials RunCredentials() const;
  std::string WhyNotRecoverable() const;  // "": survivors can go on after a death
  absl::Status BeginMembership();         // membership_, where it can be of use
  comm::MembershipOptions OptionsForMembership() const;

  // session_generation.cc
  absl::Status Connect();  // communicator_ of the first generation
  absl::Status MakeTransport(comm::Meeting& meeting, absl::Duration connect_deadline);
  absl::Status LookAround();         // who shares this machine
  absl::Status CheckMemory() const;  // what MakeReplica will allocate fits this machine
  absl::Status MakeReplica();        // team_, replica_, ...
  absl::Status StartFeed();
  void WatchMembership();
  void DropGeneration();
  void NoteWriter();
  absl::Status EnterGeneration(TakeoverReport* report);  // all parts of the one that the membership is in
  int ChooseThreads() const;
  BannerFacts FactsForBanner() const;

  // session_resume.cc
  absl::Status Resume();  // state_ and point_ from a checkpoint, if there is one
  absl::Status CheckLineage(const Manifest& manifest) const;
  void DiffData(const Manifest& manifest, bool validation, std::vector<std::string>* differences) const;
  absl::StatusOr<std::optional<LoadedCheckpoint>> ChooseCheckpoint() const;

  // session_writers.cc
  absl::Status OpenFolder();     // folder_ on rank 0
  absl::Status OpenObservers();  // on rank 0
  absl::Status MakeAudience(Told metrics_hold, Told ledger_holds, int64_t events_from);
  absl::Status TakeWritersOver();  // on a rank 0 that was not
  void ReplaceLostCheckpoint();
  bool MarkBest(int64_t step);
  void ReplaceLostBest();
  bool WriteKeptBest(int64_t step);
  absl::Status CarryWritersOn();
  void CloseObservers();
  void CloseWriters();
  void ServeControl();
  void ShowMembers();
  Manifest ManifestTemplate() const;

  // session_checkpoints.cc
  absl::Status OpenCheckpoints();  // checkpoints_, on the ranks that write. Collective
  CheckpointWriterOptions WriterOptions();
  void SayHowSaved(const SaveOutcome& outcome, int rank);
  void EndTeamOfWriters();  // the generation does; its save under way ends by itself
  KeptBest* PlaceForBest();

  // session_heal.cc
  absl::Status CheckPoison();  // on rank 0: no work kills again whoever takes it on
  void OpenMarks();            // marks_
  absl::Status GoBack();       // after a divergence: to the newest checkpoint, which all agreed on
  absl::StatusOr<FoundCheckpoint> FindAgreedCheckpoint() const;
  void EnterIntegrity();  // integrity_, over this generation

  // session_run.cc
  LoopParts PartsForLoop();
  absl::StatusOr<TrainResult> RunGeneration(LoopEnd* end);
  bool IsForOthersToGoOn(const absl::Status& failure) const;
  absl::Status Change(absl::Status failure);
  void SayWhatChanged(const TakeoverReport& report, double seconds, LogLevel level);
  absl::StatusOr<TrainResult> Finish();
  absl::Status WriteOwnResult(const TrainResult& result);
  RunResult ResultSoFar() const;
  int64_t generation() const;

  const TrainOptions& options_;
  RunConfig config_;  // resolved
  Logger* log_;       // options_.log, or the one beside the progress line
  std::string recipe_text_, recipe_hash_, probe_hash_;

  std::unique_ptr<WorkMarks> marks_;  // null where the run folder cannot hold them
  std::unique_ptr<Feed> feed_;
  std::shared_ptr<const graph::LaneProgram> train_program_, eval_program_;
  LoopPlan plan_;
  std::unique_ptr<ModelState> state_;
  std::unique_ptr<Optimizer> optimizer_;
  bool prepared_ = false;  // the run has begun: result.json is its own to write
  bool left_ = false;      // this rank went, as was planned
  RunPoint point_;
  StateHashes hashes_;  // of the newest checkpoint
  bool going_back_ = false;
  std::unique_ptr<Integrity> integrity_;
  Interruption interruption_;
  std::unique_ptr<comm::Membership> membership_;  // null: the first generation is the only one
  int writer_ = -1;                               // member number of rank 0; -1: not known yet
  KeptBest kept_best_;
  Busy busy_;

  // Of the generation.
  std::unique_ptr<comm::Communicator> communicator_;
  int machines_ = 1, local_ranks_ = 1;
  std::unique_ptr<LaneTeam> team_;
  std::unique_ptr<Compressor> compressor_;  // null: gradients travel as they are, or as 16 bits
  std::unique_ptr<Replica> replica_;
  std::unique_ptr<Evaluator> evaluator_;
  struct TeamHealth;
  std::shared_ptr<TeamHealth> team_health_;  // what writers ask; null: rank 0 writes alone
  bool team_writes_ = false;                 // several ranks write checkpoints

  // Of rank 0; kept while it stays rank 0.
  std::optional<RunFolder> folder_;
  std::unique_ptr<Logger> logger_beside_;
  std::unique_ptr<Audience> audience_;
  ControlDesk* desk_ = nullptr;  // one of the audience
  std::unique_ptr<Trace> trace_;
  std::unique_ptr<CheckpointWriter> checkpoints_;  // of a team: on the other ranks, too, for a generation
  std::unique_ptr<ControlServer> control_;         // null: nobody can ask
};

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_SESSION_H_
