# Two images: homing (api, worker and the operator's command line) and sandbox (the
# fake Meta, for laptops). `make image` builds the first; nothing but a static
# binary and the certificates of public authorities is in either.
#
# The certificates come from the builder, so pin it by its digest where you build:
#   make image IMAGEFLAGS='--build-arg GO_IMAGE=golang:1.26.8-bookworm@sha256:...'
ARG GO_IMAGE=golang:1.26.8-bookworm
FROM --platform=$BUILDPLATFORM ${GO_IMAGE} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG VERSION=unknown
ARG TARGETOS=linux
ARG TARGETARCH=amd64
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    GOOS=$TARGETOS GOARCH=$TARGETARCH VERSION=$VERSION scripts/build-static /out

FROM scratch AS root
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
USER 65532:65532

FROM root AS sandbox
COPY --from=build /out/sandbox /sandbox
EXPOSE 9999
ENTRYPOINT ["/sandbox"]

FROM root AS homing
COPY --from=build /out/api /out/worker /out/homing /
EXPOSE 8080 9090
ENTRYPOINT ["/homing"]
