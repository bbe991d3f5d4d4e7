#include "runtime/cgroup/device_program.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

#include "runtime/sys/fd.h"

namespace crisp::runtime {
namespace {

constexpr size_t kMaxAttached = 64;  // BPF_CGROUP_MAX_PROGS

int Bpf(int command, bpf_attr* attr) {
  return static_cast<int>(syscall(SYS_bpf, command, attr, sizeof(*attr)));
}

uint64_t Pointer(const void* p) { return reinterpret_cast<uint64_t>(p); }

bpf_insn Instruction(int code, unsigned to, unsigned from, int16_t offset, int32_t value) {
  bpf_insn in{};
  in.code = static_cast<uint8_t>(code);
  in.dst_reg = to & 0xf;
  in.src_reg = from & 0xf;
  in.off = offset;
  in.imm = value;
  return in;
}
bpf_insn Load(unsigned to, int16_t offset) {  // to = *(u32*)(ctx + offset)
  return Instruction(BPF_LDX | BPF_MEM | BPF_W, to, BPF_REG_1, offset, 0);
}
bpf_insn Alu(int op, unsigned reg, int32_t value) {
  return Instruction(BPF_ALU | BPF_K | op, reg, 0, 0, value);
}
bpf_insn Copy(unsigned to, unsigned from) {
  return Instruction(BPF_ALU | BPF_MOV | BPF_X, to, from, 0, 0);
}
bpf_insn Exit() { return Instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0); }

// Registers of the program: the context's fields, taken apart once.
constexpr unsigned kType = BPF_REG_2, kAccess = BPF_REG_3, kMajor = BPF_REG_4, kMinor = BPF_REG_5,
                   kScratch = BPF_REG_1;

int AccessBits(const std::string& access) {
  int bits = 0;
  for (const char c : access) {
    bits |= c == 'm' ? BPF_DEVCG_ACC_MKNOD : c == 'r' ? BPF_DEVCG_ACC_READ : BPF_DEVCG_ACC_WRITE;
  }
  return bits;
}

// "if not equal go to the next rule"; the distance is filled in when the rule is complete.
bpf_insn Unless(unsigned reg, int64_t value) {
  return Instruction(BPF_JMP32 | BPF_JNE | BPF_K, reg, 0, 0, static_cast<int32_t>(value));
}

// False: the rule has no condition, so nothing after it can be reached, which the verifier refuses.
bool AddRule(const DeviceRule& rule, std::vector<bpf_insn>* program) {
  const size_t begin = program->size();
  if (rule.type != 'a') {
    program->push_back(Unless(kType, rule.type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR));
  }
  const int bits = AccessBits(rule.access);
  if (bits != (BPF_DEVCG_ACC_MKNOD | BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE)) {
    program->push_back(Copy(kScratch, kAccess));
    program->push_back(Alu(BPF_AND, kScratch, ~bits));  // what is asked beyond the rule
    program->push_back(Unless(kScratch, 0));
  }
  if (rule.major >= 0) program->push_back(Unless(kMajor, rule.major));
  if (rule.minor >= 0) program->push_back(Unless(kMinor, rule.minor));
  const bool conditional = program->size() > begin;
  program->push_back(Alu(BPF_MOV, BPF_REG_0, 1));
  program->push_back(Exit());
  for (size_t i = begin; i < program->size(); ++i) {
    bpf_insn& in = (*program)[i];
    if (in.code == (BPF_JMP32 | BPF_JNE | BPF_K)) {
      in.off = static_cast<int16_t>(program->size() - i - 1);
    }
  }
  return conditional;
}

StatusOr<UniqueFd> LoadProgram(const std::vector<bpf_insn>& program) {
  bpf_attr attr{};
  attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  attr.insn_cnt = static_cast<uint32_t>(program.size());
  attr.insns = Pointer(program.data());
  attr.license = Pointer("Apache-2.0");
  UniqueFd fd(Bpf(BPF_PROG_LOAD, &attr));
  if (!fd.valid()) return ErrnoStatus(errno, "load device program (BPF_PROG_LOAD)");
  return fd;
}

StatusOr<std::vector<uint32_t>> AttachedPrograms(int dir) {
  std::vector<uint32_t> ids(kMaxAttached);
  bpf_attr attr{};
  attr.query.target_fd = static_cast<uint32_t>(dir);
  attr.query.attach_type = BPF_CGROUP_DEVICE;
  attr.query.prog_ids = Pointer(ids.data());
  attr.query.prog_cnt = kMaxAttached;
  if (Bpf(BPF_PROG_QUERY, &attr) != 0) return ErrnoStatus(errno, "query device programs");
  ids.resize(attr.query.prog_cnt);
  return ids;
}

Status Detach(int dir, uint32_t id) {
  bpf_attr by_id{};
  by_id.prog_id = id;
  const UniqueFd program(Bpf(BPF_PROG_GET_FD_BY_ID, &by_id));
  if (!program.valid()) return ErrnoStatus(errno, "open device program ", id);
  bpf_attr attr{};
  attr.target_fd = static_cast<uint32_t>(dir);
  attr.attach_bpf_fd = static_cast<uint32_t>(program.get());
  attr.attach_type = BPF_CGROUP_DEVICE;
  if (Bpf(BPF_PROG_DETACH, &attr) != 0) return ErrnoStatus(errno, "detach device program ", id);
  return absl::OkStatus();
}

}  // namespace

std::vector<bpf_insn> BuildDeviceProgram(const std::vector<DeviceRule>& allow) {
  std::vector<bpf_insn> program = {
      Load(kType, offsetof(bpf_cgroup_dev_ctx, access_type)),
      Copy(kAccess, kType),
      Alu(BPF_AND, kType, 0xffff),
      Alu(BPF_RSH, kAccess, 16),
      Load(kMajor, offsetof(bpf_cgroup_dev_ctx, major)),
      Load(kMinor, offsetof(bpf_cgroup_dev_ctx, minor)),
  };
  for (const DeviceRule& rule : allow) {
    if (!AddRule(rule, &program)) return program;
  }
  program.push_back(Alu(BPF_MOV, BPF_REG_0, 0));
  program.push_back(Exit());
  return program;
}

Status AttachDeviceProgram(int dir, const std::vector<DeviceRule>& allow) {
  ASSIGN_OR_RETURN(const std::vector<uint32_t> old, AttachedPrograms(dir));
  ASSIGN_OR_RETURN(const UniqueFd program, LoadProgram(BuildDeviceProgram(allow)));
  bpf_attr attr{};
  attr.target_fd = static_cast<uint32_t>(dir);
  attr.attach_bpf_fd = static_cast<uint32_t>(program.get());
  attr.attach_type = BPF_CGROUP_DEVICE;
  attr.attach_flags = BPF_F_ALLOW_MULTI;  // all of a directory's programs have to agree
  if (Bpf(BPF_PROG_ATTACH, &attr) != 0) return ErrnoStatus(errno, "attach device program");
  for (const uint32_t id : old) RETURN_IF_ERROR(Detach(dir, id));
  return absl::OkStatus();
}

}  // namespace crisp::runtime
