// Each installed header stands on its own, in any order, and brings no library's names along.
#include "lockstep/builder.h"
#include "lockstep/models.h"
#include "lockstep/params.h"

lockstep::Models MakeModels() {
  lockstep::Models models;
  models.Add("line", [](lockstep::Builder& b, const lockstep::Params& p) {
    auto x = b.Input("x", lockstep::F32, {p.Int("inputs", 3)});
    auto y = b.Input("y", lockstep::F32, {1});
    b.Loss(b.MeanSquaredError(b.Linear(x, 1), y));
  });
  return models;
}
