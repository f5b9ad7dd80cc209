#include "runtime/train/interruption.h"

namespace lockstep::train {

void Interruption::Clear() {
  std::lock_guard lock(mutex_);
  reason_ = absl::OkStatus();
  communicator_ = nullptr;
  replica_ = nullptr;
  evaluator_ = nullptr;
}

void Interruption::Cover(comm::Communicator* communicator) {
  std::lock_guard lock(mutex_);
  communicator_ = communicator;
  if (!reason_.ok()) EndAll();
}

void Interruption::Cover(Replica* replica, Evaluator* evaluator) {
  std::lock_guard lock(mutex_);
  replica_ = replica;
  evaluator_ = evaluator;
  if (!reason_.ok()) EndAll();
}

void Interruption::Call(const absl::Status& reason) {
  std::lock_guard lock(mutex_);
  if (!reason_.ok()) return;
  // Whatever made the caller call, here it is a change of membership.
  reason_ = TroubleOf(reason) == Trouble::kPeer ? reason : PeerError(reason.message());
  EndAll();
}

void Interruption::EndAll() {
  // The communicator comes last: what waits for it then finds the lanes ending already.
  if (replica_ != nullptr) replica_->Interrupt(reason_);
  if (evaluator_ != nullptr) evaluator_->Interrupt(reason_);
  if (communicator_ != nullptr) communicator_->Abort(reason_);
}

}  // namespace lockstep::train
