"""The servers: how each is set up in a folder of its own, on loopback and without privileges, and where it logs.

Each is a function from a `Place` to its `Setup`. Logs are in the tool's default format, but for those whose preset asks
for another (`nginx_json`, `haproxy_http`). Not here: what is sent (``planted``), and how they are run (``run``).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

_HERE = Path(__file__).parent
NGINX_JSON = (
    '{"msec":"$msec","request_time":"$request_time","remote_addr":"$remote_addr","remote_user":"$remote_user",'
    '"request_method":"$request_method","request_uri":"$request_uri","status":"$status",'
    '"body_bytes_sent":"$body_bytes_sent","http_referer":"$http_referer","http_user_agent":"$http_user_agent"}'
)


@dataclass(frozen=True)
class Place:
    """Where a server runs: its folder, its port, and the port of the backend."""

    folder: Path
    port: int
    backend: int
    tools: Path

    def write(self, name: str, text: str) -> Path:
        """Write a file of the server's folder."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path


@dataclass(frozen=True)
class Setup:
    """How a server is run.

    Attributes:
        command: the server, in the foreground.
        version: the command that prints its version, and which word of it that is.
        log: its file; None where standard output is the log.
        beside: commands that run beside it, of which the first writes the log.
        keeps_clock: whether libfaketime can't set its clock, so that it can't be run in autumn.
        answers: whether it answers 200 once it is ready, and is open before.
    """

    command: list[str]
    version: list[str]
    log: Path | None
    beside: list[list[str]] = field(default_factory=list)
    keeps_clock: bool = False
    answers: bool = False


def _apache(place: Place) -> Setup:
    folder, modules = place.folder, "/usr/lib/apache2/modules"
    names = "mpm_event authn_core authz_core proxy proxy_http"
    loaded = "\n".join(f"LoadModule {name}_module {modules}/mod_{name}.so" for name in names.split())
    config = f"""
ServerRoot {folder}
ServerName shop.example
Listen 127.0.0.1:{place.port}
PidFile {folder}/pid
DefaultRuntimeDir {folder}
Mutex file:{folder}
{loaded}
ErrorLog {folder}/error.log
DocumentRoot {folder}
LogFormat "%h %l %u %t \\"%r\\" %>s %b \\"%{{Referer}}i\\" \\"%{{User-Agent}}i\\"" combined
CustomLog {folder}/access.log combined
ProxyPass /slow http://127.0.0.1:{place.backend}/slow
ProxyPass /p http://127.0.0.1:{place.backend}/p
"""
    command = ["/usr/sbin/apache2", "-f", str(place.write("apache.conf", config)), "-D", "FOREGROUND"]
    return Setup(command, ["/usr/sbin/apache2", "-v"], folder / "access.log")


def _nginx_with(place: Place, log_format: str, name: str) -> Setup:
    folder = place.folder
    paths = "".join(
        f"  {kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = f"""
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
{paths}{log_format}
  access_log {folder}/access.log {name};
  server {{
    listen 127.0.0.1:{place.port}; root {folder};
    location /slow {{ proxy_pass http://127.0.0.1:{place.backend}; }}
  }}
}}
"""
    return Setup(
        ["/usr/sbin/nginx", "-c", str(place.write("nginx.conf", config)), "-e", f"{folder}/error.log"],
        ["/usr/sbin/nginx", "-v"],
        folder / "access.log",
    )


def _nginx_combined(place: Place) -> Setup:
    return _nginx_with(place, "", "combined")


def _nginx_json(place: Place) -> Setup:
    return _nginx_with(place, f"  log_format sessions escape=json '{NGINX_JSON}';", "sessions")


def _haproxy(place: Place) -> Setup:
    form = (
        "%ci:%cp [%trg] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs %{+Q}r"
    ).replace(" ", "\\ ")
    config = f"""
global
  log stdout format raw local0
defaults
  mode http
  log global
  log-format {form}
  timeout client 10s
  timeout server 10s
  timeout connect 5s
frontend f1
  bind 127.0.0.1:{place.port}
  option accept-invalid-http-request
  capture request header User-Agent len 200
  default_backend b
backend b
  server s1 127.0.0.1:{place.backend}
"""
    command = ["/usr/sbin/haproxy", "-db", "-f", str(place.write("haproxy.cfg", config))]
    return Setup(command, ["/usr/sbin/haproxy", "-v"], None)


def _lighttpd(place: Place) -> Setup:
    folder = place.folder
    config = f"""
server.modules = ("mod_accesslog", "mod_proxy")
server.document-root = "{folder}"
server.bind = "127.0.0.1"
server.port = {place.port}
server.errorlog = "{folder}/error.log"
server.feature-flags = ("server.graceful-shutdown-timeout" => 1)
accesslog.filename = "{folder}/access.log"
$HTTP["url"] =~ "^/slow" {{ proxy.server = ("" => (("host" => "127.0.0.1", "port" => {place.backend}))) }}
"""
    command = ["/usr/sbin/lighttpd", "-D", "-f", str(place.write("lighttpd.conf", config))]
    return Setup(command, ["/usr/sbin/lighttpd", "-v"], folder / "access.log")


def _varnish(place: Place) -> Setup:
    folder = place.folder / "varnish"
    vcl = f"""
vcl 4.1;
backend default {{ .host = "127.0.0.1"; .port = "{place.backend}"; }}
sub vcl_recv {{ return (pass); }}
"""
    listen = ["-a", f"127.0.0.1:{place.port}", "-f", str(place.write("default.vcl", vcl)), "-n", str(folder)]
    command = ["/usr/sbin/varnishd", "-F", "-j", "none", "-T", "none", *listen]
    log = place.folder / "access.log"
    beside = [["/usr/bin/varnishncsa", "-n", str(folder), "-t", "20", "-w", str(log)]]
    return Setup(command, ["/usr/sbin/varnishd", "-V"], log, beside, keeps_clock=True)


def _squid(place: Place) -> Setup:
    folder = place.folder
    config = f"""
http_port 127.0.0.1:{place.port} accel defaultsite=shop.example no-vhost
cache_peer 127.0.0.1 parent {place.backend} 0 no-query originserver
http_access allow all
access_log stdio:{folder}/access.log squid
cache_log {folder}/cache.log
pid_filename {folder}/pid
coredump_dir {folder}
cache deny all
pinger_enable off
shutdown_lifetime 1 second
"""
    command = ["/usr/sbin/squid", "-N", "-f", str(place.write("squid.conf", config))]
    return Setup(command, ["/usr/sbin/squid", "-v"], folder / "access.log")


def _caddy(place: Place) -> Setup:
    config = f"""
{{
  admin off
  auto_https off
  storage file_system {place.folder}
}}
http://:{place.port} {{
  bind 127.0.0.1
  log {{
    output file {place.folder}/access.log
    format json
  }}
  reverse_proxy 127.0.0.1:{place.backend}
}}
"""
    caddy = str(place.tools / "venv" / "bin" / "caddy")
    command = [caddy, "run", "--adapter", "caddyfile", "--config", str(place.write("Caddyfile", config))]
    return Setup(command, [caddy, "version"], place.folder / "access.log", keeps_clock=True)


def _traefik_with(place: Place, *options: str) -> Setup:
    routes = f"""
http:
  routers: {{shop: {{rule: "PathPrefix(`/`)", service: shop}}}}
  services: {{shop: {{loadBalancer: {{servers: [{{url: "http://127.0.0.1:{place.backend}"}}]}}}}}}
"""
    traefik = str(place.tools / "venv" / "bin" / "traefik")
    command = [
        traefik,
        f"--entrypoints.web.address=127.0.0.1:{place.port}",
        f"--providers.file.filename={place.write('routes.yaml', routes)}",
        "--accesslog=true",
        f"--accesslog.filepath={place.folder}/access.log",
        "--accesslog.fields.headers.names.User-Agent=keep",
        "--global.checknewversion=false",
        "--global.sendanonymoususage=false",
        *options,
    ]
    return Setup(command, [traefik, "version"], place.folder / "access.log", keeps_clock=True, answers=True)


def _traefik_json(place: Place) -> Setup:
    return _traefik_with(place, "--accesslog.format=json")


def _traefik_common(place: Place) -> Setup:
    return _traefik_with(place)


def _gunicorn(place: Place) -> Setup:
    gunicorn = str(place.tools / "venv" / "bin" / "gunicorn")
    app = "sessions_platform_tests.tools.web_servers.applications:wsgi"
    options = ["-b", f"127.0.0.1:{place.port}", "--access-logfile", f"{place.folder}/access.log", "--workers", "1"]
    command = [gunicorn, *options, "--worker-tmp-dir", str(place.folder), "--pythonpath", str(_HERE.parents[2]), app]
    return Setup(command, [gunicorn, "--version"], place.folder / "access.log", keeps_clock=True)


def _node(name: str) -> Callable[[Place], Setup]:
    def setup(place: Place) -> Setup:
        versions = f"console.log(require('{place.tools}/node_modules/{name}/package.json').version)"
        command = ["node", str(_HERE / "applications.cjs"), name, str(place.port), str(place.tools)]
        return Setup(command, ["node", "-e", versions], None)

    return setup


SERVERS: dict[str, Callable[[Place], Setup]] = {
    "apache_combined": _apache,
    "nginx_combined": _nginx_combined,
    "nginx_json": _nginx_json,
    "haproxy_http": _haproxy,
    "lighttpd": _lighttpd,
    "varnish": _varnish,
    "squid_native": _squid,
    "caddy_json": _caddy,
    "traefik_json": _traefik_json,
    "traefik_common": _traefik_common,
    "gunicorn": _gunicorn,
    "morgan": _node("morgan"),
    "pino_http": _node("pino-http"),
    "fastify": _node("fastify"),
}
