# The steps of a GPU machine. Its driver is the machine's own (a driver brings a kernel module, a reboot, and the seller's
# support with it): it is checked and never installed. What containers need to see the GPUs is set up here.
TOOLKIT_GUIDE=https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/install-guide.html

# Display controllers (PCI class 03) of NVIDIA (vendor 10de); a GPU that has lost its driver is still there.
gpus_on_the_bus() {
  local device found=0
  for device in /sys/bus/pci/devices/*; do
    [ "$(cat "$device/vendor" 2>/dev/null)" = 0x10de ] || continue
    case $(cat "$device/class" 2>/dev/null) in 0x03*) found=$((found + 1)) ;; esac
  done
  echo "$found"
}

gpu_preflight() {
  step "GPU driver"
  local wanted="gpu: {type: $GPU_TYPE, count: $GPU_COUNT}" present module names count
  present=$(gpus_on_the_bus)
  module=$(head -1 /proc/driver/nvidia/version 2>/dev/null) || true
  if [ -z "$module" ]; then
    [ "$present" -gt 0 ] || fail "the stack file says $wanted, and there is no NVIDIA device on the PCI bus: check the machine's address and what its seller gave you, or take gpu out"
    fail "$present NVIDIA GPUs and no driver (/proc/driver/nvidia/version is missing): choose the seller's image with drivers, or install one (on Ubuntu 'ubuntu-drivers install --gpgpu'), reboot, and try again; gpu_software: none leaves GPUs alone"
  fi
  command -v nvidia-smi >/dev/null || fail "the driver's kernel module is loaded ($module), and nvidia-smi is missing: install the driver's utilities of the same version (on Ubuntu nvidia-utils-<branch>-server)"
  names=$(timeout 60 nvidia-smi --query-gpu=name --format=csv,noheader 2>&1) || fail "nvidia-smi fails: $(head -3 <<<"$names" | tr '\n' ' '): reboot the machine if its driver was just updated ($module), else reinstall the driver or ask the seller"
  count=$(grep -c . <<<"$names") || true
  [ "$count" = "$GPU_COUNT" ] || fail "nvidia-smi finds $count GPUs, the PCI bus has $present, and the stack file says $wanted: if one is missing, look for Xid in 'dmesg' and let the seller repair the machine; otherwise write gpu.count: $count"
  # Names are the seller's on one side and NVIDIA's on the other: no reason to refuse a machine.
  grep -qiF -- "${GPU_TYPE%%-*}" <<<"$names" || say "WARNING the stack file says gpu.type: $GPU_TYPE, and nvidia-smi says $(sort -u <<<"$names" | tr '\n' ' ')"
}

toolkit_missing() {
  local binary
  for binary in nvidia-ctk nvidia-cdi-hook nvidia-container-runtime; do
    [ -x "/usr/bin/$binary" ] || { echo "/usr/bin/$binary"; return 0; }
  done
  return 1
}

gpu_packages() {
  step "NVIDIA container toolkit"
  local missing candidate version
  if missing=$(toolkit_missing); then
    command -v apt-get >/dev/null || fail "$missing is missing, and there is no apt-get here: install nvidia-container-toolkit ($TOOLKIT_GUIDE)"
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 update -qq >&2 || fail "apt-get update"
    candidate=$(LC_ALL=C apt-cache policy nvidia-container-toolkit 2>/dev/null | awk '$1 == "Candidate:" {print $2}')
    # A package source more is the owner's decision.
    case $candidate in
      "" | "(none)") fail "$missing is missing, and no package source of the machine has nvidia-container-toolkit: add NVIDIA's source as $TOOLKIT_GUIDE says, and try again" ;;
    esac
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends nvidia-container-toolkit >&2 || fail "apt-get install nvidia-container-toolkit"
    if missing=$(toolkit_missing); then
      fail "nvidia-container-toolkit $candidate has no $missing, it is too old: add NVIDIA's source as $TOOLKIT_GUIDE says, and try again"
    fi
  fi
  # "containerd github.com/containerd/containerd v1.7.24 ...", on Debian without the v.
  version=$(containerd --version | awk '{print $3}'); version=${version#v}
  [ "$(printf '%s\n' 1.7 "$version" | sort -V | head -1)" = 1.7 ] || fail "containerd $version cannot give GPUs to containers by CDI, which begins with 1.7: use Ubuntu 22.04, Debian 13 or newer, or install containerd.io of Docker's package source"
}

gpu_runtime() {
  step "GPUs for containers"
  systemctl enable -q --no-reload tailspan-gpu
  systemctl restart tailspan-gpu || fail "nvidia-ctk cdi generate: $(journalctl -u tailspan-gpu -n 5 -o cat --no-pager | tr '\n' ' ')"
  nvidia-ctk cdi list 2>/dev/null | grep -xF nvidia.com/gpu=all >/dev/null || fail "nvidia-ctk cdi list does not name nvidia.com/gpu=all after /var/run/cdi/nvidia.yaml was written: another file in /etc/cdi or /var/run/cdi may be broken"
}
