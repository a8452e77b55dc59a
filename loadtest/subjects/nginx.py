"""nginx with one worker, keep-alive on both sides and retries, passing bodies on as they come."""

from pathlib import Path
from string import Template

from loadtest.subjects.subject import found, said

CONFIG = Template("""\
daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid $directory/nginx.pid;
error_log $directory/error.log;
events { worker_connections 8192; }
http {
  access_log off;
  client_body_temp_path $directory/body;
  proxy_temp_path $directory/proxy;
  fastcgi_temp_path $directory/fastcgi;
  uwsgi_temp_path $directory/uwsgi;
  scgi_temp_path $directory/scgi;
  client_max_body_size 16m;
  keepalive_requests 1000000000;
  upstream payments {
    server 127.0.0.1:$upstream_port;
    keepalive 128;
    keepalive_requests 1000000000;
  }
  server {
    listen 127.0.0.1:$port backlog=4096;
    location / {
      proxy_pass http://payments;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_request_buffering off;
      proxy_max_temp_file_size 0;
      proxy_next_upstream error timeout http_503;
      proxy_next_upstream_tries 3;
    }
  }
}
""")


class Nginx:
    name = "nginx"
    is_optional = True

    def version(self) -> str:
        # It says: nginx version: nginx/1.22.1
        return said([found("nginx"), "-v"]).rpartition("/")[2]

    def command(self, directory: Path, port: int, upstream_port: int) -> list[str]:
        config = directory / "nginx.conf"
        config.write_text(CONFIG.substitute(directory=directory, port=port, upstream_port=upstream_port))
        return [found("nginx"), "-p", str(directory), "-e", str(directory / "error.log"), "-c", str(config)]
