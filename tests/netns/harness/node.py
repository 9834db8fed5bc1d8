"""A node of the cluster: nginx as the ingress, HAProxy as a second receiver, echo servers.

    30080, 30443  nginx, http and https    demand the PROXY protocol; answer with JSON
    30022         nginx stream             demands it; greets with the client's address, then echoes
    31080, 31443  HAProxy, http and https  demand it; answer with JSON
    30099         TCP echo, raw: what arrives first (a header too) comes back
    30053         UDP echo, with the peer's address in front
"""
import os
import subprocess
import sys

from .wait import until

PORTS_TCP = (30080, 30443, 30022, 31080, 31443, 30099)
HERE = os.path.dirname(os.path.abspath(__file__))

NGINX = """
{module}
user root;
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log warn;
events {{ worker_connections 8192; }}
http {{
	access_log {folder}/access.log;
	keepalive_requests 1000000;
	keepalive_timeout 600s;
	client_max_body_size 0;
	client_body_temp_path {folder}/body;
	proxy_temp_path {folder}/proxy;
	fastcgi_temp_path {folder}/fastcgi;
	uwsgi_temp_path {folder}/uwsgi;
	scgi_temp_path {folder}/scgi;
	server {{
		listen 30080 proxy_protocol;
		listen [::]:30080 proxy_protocol;
		listen 30443 ssl proxy_protocol;
		listen [::]:30443 ssl proxy_protocol;
		ssl_certificate {certificate};
		ssl_certificate_key {certificate};
		location / {{
			default_type application/json;
			add_header X-Client $proxy_protocol_addr;
			set $who '"node":"{name}","by":"nginx","scheme":"$scheme","peer":"$remote_addr"';
			set $from '"client":"$proxy_protocol_addr","client_port":$proxy_protocol_port';
			set $to '"server":"$proxy_protocol_server_addr","server_port":$proxy_protocol_server_port';
			return 200 '{{$who,$from,$to}}\\n';
		}}
	}}
}}
stream {{
	server {{
		listen 30022 proxy_protocol;
		listen [::]:30022 proxy_protocol;
		proxy_timeout 1h;
		set_real_ip_from 0.0.0.0/0;
		set_real_ip_from ::/0;
		proxy_protocol on;
		proxy_pass 127.0.0.1:3022;
	}}
}}
"""

HAPROXY = """
global
	nbthread 1
	pidfile {folder}/haproxy.pid
	default-path origin {folder}
defaults
	mode http
	timeout connect 5s
	timeout client 1h
	timeout server 1h
frontend web
	bind :::31080 v4v6 accept-proxy
	bind :::31443 v4v6 accept-proxy ssl crt {certificate}
	http-request return status 200 content-type application/json lf-string \
'{{"node":"{name}","by":"haproxy","client":"%[src]","client_port":%[src_port],"server":"%[dst]","server_port":%[dst_port]}}'
"""


def make_certificate(folder):
    """A self-made certificate and its key in one file."""
    path = os.path.join(folder, "ingress.pem")
    if not os.path.exists(path):
        key = os.path.join(folder, "ingress.key")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-days", "3650", "-subj", "/CN=ingress.example.net", "-addext",
                        "subjectAltName=DNS:ingress.example.net,IP:203.0.113.10", "-keyout", key, "-out", path],
                       check=True, capture_output=True, timeout=60)
        with open(key) as file, open(path, "a") as pem:
            pem.write(file.read())
        os.unlink(key)
    return path


def stream_module():
    path = "/usr/lib/nginx/modules/ngx_stream_module.so"
    return f"load_module {path};" if os.path.exists(path) else ""


class Node:
    def __init__(self, name, space, folder, certificate):
        self.name, self.space = name, space
        self.folder = os.path.join(folder, name)
        self.processes = {}
        os.makedirs(self.folder, exist_ok=True)
        if certificate:
            self.certificate = certificate
            self.start()

    def _write(self, file, template):
        path = os.path.join(self.folder, file)
        with open(path, "w") as output:
            output.write(template.format(name=self.name, folder=self.folder, certificate=self.certificate,
                                         module=stream_module()))
        return path

    def start(self):
        self.start_echo()
        self.start_nginx()
        path = self._write("haproxy.cfg", HAPROXY)
        self.processes["haproxy"] = self.space.start("haproxy", "-db", "-f", path, log=f"{self.folder}/haproxy.log")

    def start_echo(self):
        self.processes["echo"] = self.space.start(sys.executable, f"{HERE}/echo_server.py", self.name,
                                                  log=f"{self.folder}/echo.log")

    def start_nginx(self):
        path = self._write("nginx.conf", NGINX)
        self.processes["nginx"] = self.space.start("nginx", "-p", self.folder, "-c", path, "-e",
                                                   f"{self.folder}/nginx.log", log=f"{self.folder}/nginx.out")

    def stop(self, server):
        self.space.stop(self.processes.pop(server))

    def stop_all(self):
        """The node is gone, as far as its ports go."""
        for server in list(self.processes):
            self.stop(server)

    def listening(self):
        with self.space.inside():
            ports = set()
            for table in ("tcp", "tcp6"):
                with open(f"/proc/thread-self/net/{table}") as file:
                    for line in list(file)[1:]:
                        fields = line.split()
                        if fields[3] == "0A":
                            ports.add(int(fields[1].rsplit(":", 1)[1], 16))
        return ports

    def wait_ready(self, ports=PORTS_TCP):
        def ready():
            return self.listening() >= set(ports) or any(p.poll() is not None for p in self.processes.values())
        try:
            until(ready, 20, f"the servers of {self.name}")
            assert self.listening() >= set(ports), f"{self.name}: a server ended"
        except AssertionError as error:
            missing = set(ports) - self.listening()
            raise AssertionError(f"{error}: nobody listens on {missing}\n{self.logs()}") from None

    def logs(self):
        text = ""
        for name in sorted(os.listdir(self.folder)):
            if name.endswith((".log", ".out")) and name != "access.log":
                with open(os.path.join(self.folder, name), errors="replace") as file:
                    text += f"{name}: {file.read()[-2000:]}\n"
        return text
