#include "kernels/cpu/factories.h"
#include "kernels/cpu/tile_program.h"

namespace lockstep::kernels::cpu {

KernelOr MakeElementwise(const OpSpec& spec) {
  const auto& attributes = std::get<ProgramAttributes>(spec.attributes);
  ASSIGN_OR_RETURN(TileProgram program,
                   TileProgram::Make(attributes.program, spec.inputs, attributes.full_shape));
  const int64_t elements = attributes.full_shape.NumElements();
  const size_t scratch_bytes = program.scratch_bytes();
  return MakeFunctionKernel(scratch_bytes, [program = std::move(program), elements](const KernelArgs& args) {
    const TileProgram::Tensors tensors = {args.inputs.data(), nullptr, args.outputs.data(), args.accumulate,
                                          args.context};
    program.Prepare(tensors, args.scratch);
    program.Run(tensors, 0, elements, args.scratch);
  });
}

}  // namespace lockstep::kernels::cpu
