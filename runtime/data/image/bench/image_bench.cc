// How long a picture takes on one core, from JPEG bytes to a normalised sample of 224 x 224, beside what a
// plain loop over libjpeg-turbo takes to decode it at the smallest of its fast scales that leaves 224 pixels
// a side.
//   image_bench [--benchmark_filter=...]
//   image_bench --write FOLDER COUNT WIDTH HEIGHT    writes such pictures into FOLDER/0 .. FOLDER/9, for benchmarks of training
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstdio>  // jpeglib.h needs it before
#include <cstdlib>
#include <string>
#include <vector>

#include <jpeglib.h>

#include "absl/strings/str_cat.h"
#include "runtime/core/file_system.h"
#include "runtime/core/rng.h"
#include "runtime/data/image/image_transform.h"

namespace lockstep::data {
namespace {

constexpr int kSide = 224;

// Smooth shapes under noise. Of 500 x 375 pixels it takes about 110 kB, as the photographs of ImageNet do.
std::string MakeJpeg(int width, int height, uint64_t seed = 1) {
  std::vector<uint8_t> pixels(static_cast<size_t>(width) * height * 3);
  std::vector<float> noise(pixels.size());
  FillNormal(seed, 0, 7, absl::MakeSpan(noise));
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < 3; ++c) {
        const size_t i = (static_cast<size_t>(y) * width + x) * 3 + c;
        const double v = 127 + 90 * std::sin(x * (0.03 + 0.01 * c)) * std::cos(y * 0.04) + noise[i];
        pixels[i] = static_cast<uint8_t>(std::clamp(v, 0.0, 255.0));
      }
    }
  }
  jpeg_compress_struct info = {};
  jpeg_error_mgr errors;
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* out = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &out, &size);
  info.image_width = static_cast<JDIMENSION>(width);
  info.image_height = static_cast<JDIMENSION>(height);
  info.input_components = 3;
  info.in_color_space = JCS_RGB;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, 96, TRUE);
  jpeg_start_compress(&info, TRUE);
  while (info.next_scanline < info.image_height) {
    JSAMPROW row = pixels.data() + static_cast<size_t>(info.next_scanline) * width * 3;
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  std::string bytes(reinterpret_cast<char*>(out), size);
  std::free(out);
  return bytes;
}

void Report(benchmark::State& state, const std::string& bytes) {
  state.SetItemsProcessed(state.iterations());
  state.counters["jpeg_bytes"] = static_cast<double>(bytes.size());
}

void PlainLoop(benchmark::State& state) {
  const std::string bytes = MakeJpeg(static_cast<int>(state.range(0)), static_cast<int>(state.range(1)));
  std::vector<uint8_t> pixels;
  jpeg_decompress_struct info = {};
  jpeg_error_mgr errors;
  info.err = jpeg_std_error(&errors);
  jpeg_create_decompress(&info);
  for (auto _ : state) {
    jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
    jpeg_read_header(&info, TRUE);
    info.scale_num = 1;
    info.scale_denom = 8;
    while (std::min(info.image_width, info.image_height) / info.scale_denom < kSide && info.scale_denom > 1) {
      info.scale_denom /= 2;
    }
    jpeg_start_decompress(&info);
    const size_t pitch = static_cast<size_t>(info.output_width) * 3;
    pixels.resize(pitch * info.output_height);
    while (info.output_scanline < info.output_height) {
      JSAMPROW row = pixels.data() + info.output_scanline * pitch;
      jpeg_read_scanlines(&info, &row, 1);
    }
    jpeg_finish_decompress(&info);
    benchmark::DoNotOptimize(pixels.data());
  }
  jpeg_destroy_decompress(&info);
  Report(state, bytes);
}

void Run(benchmark::State& state, const ImageOptions& options) {
  const std::string bytes = MakeJpeg(static_cast<int>(state.range(0)), static_cast<int>(state.range(1)));
  const auto transform = ImageTransform::Create(options);
  ImageTransform::Scratch scratch;
  std::vector<float> out(kSide * kSide * 3);
  int64_t position = 0;
  for (auto _ : state) {
    if (!transform->Apply(bytes, position++, &scratch, out.data()).ok()) state.SkipWithError("not decoded");
    benchmark::DoNotOptimize(out.data());
  }
  Report(state, bytes);
}

ImageOptions Base() {
  ImageOptions options = {.height = kSide, .width = kSide};
  options.mean = {0.485f, 0.456f, 0.406f};
  options.std = {0.229f, 0.224f, 0.225f};
  return options;
}

// Random crop, flip, normalise: the usual recipe.
void Train(benchmark::State& state) {
  ImageOptions options = Base();
  options.random_crop = RandomBox{};
  options.flip = true;
  Run(state, options);
}

void TrainWithJitter(benchmark::State& state) {
  ImageOptions options = Base();
  options.random_crop = RandomBox{};
  options.flip = true;
  options.jitter = {0.4f, 0.4f, 0.4f};
  Run(state, options);
}

// Resize to 256, middle 224.
void Evaluate(benchmark::State& state) {
  ImageOptions options = Base();
  options.short_side = 256;
  Run(state, options);
}

void Sizes(benchmark::internal::Benchmark* benchmark) {
  for (const auto& [width, height] : {std::pair{500, 375}, {1600, 1200}}) benchmark->Args({width, height});
  benchmark->Unit(benchmark::kMillisecond);
}

BENCHMARK(PlainLoop)->Apply(Sizes);
BENCHMARK(Train)->Apply(Sizes);
BENCHMARK(TrainWithJitter)->Apply(Sizes);
BENCHMARK(Evaluate)->Apply(Sizes);

int Write(const std::string& folder, int count, int width, int height) {
  FileSystem* fs = RealFileSystem();
  for (int i = 0; i < count; ++i) {
    const std::string of_class = absl::StrCat(folder, "/", i % 10);
    if (!fs->CreateFolders(of_class).ok()) return 1;
    const auto file = fs->Create(absl::StrCat(of_class, "/", i, ".jpg"));
    if (!file.ok() || !(*file)->Append(MakeJpeg(width, height, static_cast<uint64_t>(i))).ok()) return 1;
  }
  return 0;
}

}  // namespace
}  // namespace lockstep::data

int main(int argc, char** argv) {
  if (argc == 6 && std::string(argv[1]) == "--write")
    return lockstep::data::Write(argv[2], std::atoi(argv[3]), std::atoi(argv[4]), std::atoi(argv[5]));
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
