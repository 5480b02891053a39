module github.com/traefik-reauth/reauth

go 1.22
