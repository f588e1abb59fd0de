#include "fewstep/plan.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "refusal.h"

namespace {

namespace fs = std::filesystem;

// A network that writes a constant: the least that is a plan.
constexpr std::string_view kProgram =
    R"({\"format\":\"fewstep-plan\",\"version\":1,\"made_by\":\"a test\",\"target\":{\"device\":\"cpu\"},)"
    R"(\"precision\":\"float32\",\"model\":{\"name\":\"n\",\"family\":\"f\",\"bundle\":\"\"},\"batch\":1,)"
    R"(\"digests\":{},\"arena\":64,\"buffers\":[[0,8]],)"
    R"(\"values\":[{\"type\":\"f32\",\"shape\":[2],\"strides\":[1],\"offset\":0,\"buffer\":0}],)"
    R"(\"inputs\":{},\"outputs\":{\"y\":0},\"stages\":[{\"name\":\"network\",\"steps\":0,\"ops\":[)"
    R"({\"op\":\"map\",\"name\":\"one\",\"inputs\":[],\"outputs\":[0],\"attributes\":{\"code\":[[\"const\",1.5]]}}]}],)"
    R"(\"passes\":[],\"certificate\":{\"seeds\": [7]}})";

std::string file_of(std::string_view program) {
  std::string header = "{\"__metadata__\":{\"fewstep.plan\":\"";
  header.append(program).append("\"}}");
  std::string out(8, '\0');
  const std::uint64_t length = header.size();
  std::memcpy(out.data(), &length, 8);
  return out.append(header);
}

class Folder {
 public:
  Folder() : path_(fs::temp_directory_path() / ("fewstep_plan_test_" + std::to_string(getpid()))) {
    fs::create_directory(path_);
  }
  ~Folder() { fs::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  fs::path file(const std::string& name, const std::string& bytes) const {
    std::ofstream(path_ / name, std::ios::binary) << bytes;
    return path_ / name;
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

void test_what_is_read_is_what_was_written(const Folder& folder) {
  const fewstep::Plan plan = fewstep::open_plan(folder.file("one.fsp", file_of(kProgram)));
  CHECK(plan.device == "cpu" && plan.precision == "float32" && plan.batch == 1 && plan.arena == 64);
  CHECK(plan.model == R"({"name":"n","family":"f","bundle":""})" && plan.certificate == R"({"seeds": [7]})");
  CHECK(plan.buffers.size() == 1 && plan.buffers[0].bytes == 8);
  CHECK(plan.values.size() == 1 && plan.values[0].shape == std::vector<std::int64_t>{2});
  CHECK(plan.outputs.at("y") == 0 && plan.inputs.empty() && !plan.schedule);
  CHECK(plan.stages.size() == 1 && plan.stages[0].ops.size() == 1);
  const fewstep::Op& op = plan.stages[0].ops[0];
  const auto& code = std::get<std::vector<fewstep::Instruction>>(op.attributes.at("code"));
  CHECK(op.kind == "map" && op.name == "one" && code.size() == 1 && code[0].constant == 1.5);
}

void test_a_link_is_followed(const Folder& folder) {
  const fs::path file = folder.file("target.fsp", file_of(kProgram)), link = folder.path() / "link.fsp";
  fs::create_symlink(file, link);
  CHECK(fewstep::open_plan(link).batch == 1);
}

void test_what_is_no_file_is_refused(const Folder& folder) {
  const auto message = [](const fs::path& path) {
    const std::string out = refusal([&] { fewstep::open_plan(path); });
    CHECK(out.starts_with(path.string() + ": "));
    return out;
  };
  CHECK(has(message(folder.path() / "none.fsp"), "cannot be opened: No such file"));
  CHECK(has(message(folder.path()), "expected a regular file"));
  CHECK(has(message(folder.file("empty.fsp", "")), "empty file"));
  CHECK(has(message(folder.file("short.fsp", "1234")), "got 4 bytes"));
  const fs::path fifo = folder.path() / "fifo.fsp";
  CHECK(mkfifo(fifo.c_str(), 0600) == 0);
  CHECK(has(message(fifo), "expected a regular file"));  // at once, though nobody writes to it
}

// Cut anywhere, a plan is refused.
void test_every_length() {
  const std::string whole = file_of(kProgram);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    const std::vector<char> part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
    refusal([&] { fewstep::parse_plan(std::as_bytes(std::span(part)), nullptr); });
  }
}

void test_its_bytes_live_as_long_as_it_does() {
  auto bytes = std::make_shared<std::string>(file_of(kProgram));
  const std::weak_ptr<std::string> watched = bytes;
  {
    const fewstep::Plan plan = fewstep::parse_plan(std::as_bytes(std::span(*bytes)), bytes);
    bytes.reset();
    CHECK(!watched.expired());
  }
  CHECK(watched.expired());
}

}  // namespace

int main() {
  const Folder folder;
  test_what_is_read_is_what_was_written(folder);
  test_a_link_is_followed(folder);
  test_what_is_no_file_is_refused(folder);
  test_every_length();
  test_its_bytes_live_as_long_as_it_does();
}
