# Sent by the operator when the machine is admitted: its token is younger than the script that prepared the machine.
# Built-ins only around the token: the arguments of a program are visible to everybody.
[ "$(id -u)" = 0 ] || { echo "admission: runs as $(id -un): let access.ssh.user use sudo without a password" >&2; exit 1; }
if [ -s /var/lib/kubelet/pki/kubelet-client-current.pem ] && [ -s /etc/kubernetes/kubelet.conf ]; then
  echo "admission: the machine has a certificate already" >&2
  exit 0
fi
[ -d /etc/kubernetes/manifests ] || { echo "admission: the machine is not prepared: run its script first" >&2; exit 1; }
umask 077
bootstrap_kubeconfig >/etc/kubernetes/.bootstrap-kubelet.conf
mv -f /etc/kubernetes/.bootstrap-kubelet.conf /etc/kubernetes/bootstrap-kubelet.conf
# It reads the file when it starts; its static pods live on.
systemctl restart kubelet
