package embedded

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// startTimeout bounds the start of a server; recovering a large store takes a while.
const startTimeout = 30 * time.Second

// Options of a NATS server. The zero value is a server that only this process
// can reach.
type Options struct {
	// Listen opens a loopback port, so that other processes can connect.
	Listen bool
	// Port is the port to listen on; 0 picks a free one. Needs Listen.
	Port int
	// MaxStore is the disk that JetStream may use, in bytes; 0 leaves it to the
	// server (most of what is free).
	MaxStore int64
	// SyncAlways makes every message reach the disk before it is acknowledged.
	SyncAlways bool
}

// Server is a NATS server in this process. It can be restarted on the same
// store while clients stay.
type Server struct {
	opts *server.Options

	mu    sync.Mutex
	inner *server.Server // nil while it is down
}

// NATS starts a server that keeps its streams in dir.
func NATS(dir string, opt Options) (*Server, error) {
	if dir == "" {
		return nil, errors.New("embedded: NATS needs a directory for its streams")
	}
	o := &server.Options{
		ServerName: "homing-embedded",
		DontListen: !opt.Listen,
		Host:       "127.0.0.1",
		Port:       opt.Port,
		JetStream:  true,
		StoreDir:   dir,
		SyncAlways: opt.SyncAlways,
		NoLog:      true,
		NoSigs:     true,
	}
	if opt.Listen && opt.Port == 0 {
		o.Port = server.RANDOM_PORT
	}
	if opt.MaxStore > 0 {
		o.JetStreamMaxStore = opt.MaxStore
	}
	s := &Server{opts: o}
	if err := s.Start(); err != nil {
		return nil, err
	}
	return s, nil
}

// Start starts the server again after Stop, on the same store and port.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inner != nil {
		return nil
	}
	// The server writes what it finds into its options: give it a copy.
	opts := s.opts.Clone()
	inner, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("embedded: nats: %w", err)
	}
	inner.Start()
	if !inner.ReadyForConnections(startTimeout) {
		inner.Shutdown()
		inner.WaitForShutdown()
		return fmt.Errorf("embedded: nats did not start within %v; is %s writable, is the port free?",
			startTimeout, s.opts.StoreDir)
	}
	if addr, ok := inner.Addr().(*net.TCPAddr); ok && !opts.DontListen {
		s.opts.Port = addr.Port // a restart comes back where clients look for it
	}
	s.inner = inner
	return nil
}

// Stop shuts the server down and waits until it is gone. Its streams stay.
func (s *Server) Stop() {
	s.mu.Lock()
	inner := s.inner
	s.inner = nil
	s.mu.Unlock()
	if inner != nil {
		inner.Shutdown()
		inner.WaitForShutdown()
	}
}

// Close is Stop, as an io.Closer.
func (s *Server) Close() error {
	s.Stop()
	return nil
}

// URL is the address of a listening server, empty when it doesn't listen.
func (s *Server) URL() string {
	if s.opts.DontListen {
		return ""
	}
	return fmt.Sprintf("nats://127.0.0.1:%d", s.opts.Port)
}

// InProcessConn makes Server a nats.InProcessConnProvider that outlives
// restarts: a client reconnects to whichever server runs now.
func (s *Server) InProcessConn() (net.Conn, error) {
	s.mu.Lock()
	inner := s.inner
	s.mu.Unlock()
	if inner == nil {
		return nil, errors.New("embedded: nats is down")
	}
	return inner.InProcessConn()
}

// ClientOption makes a connection go to this server without a socket.
func (s *Server) ClientOption() nats.Option { return nats.InProcessServer(s) }
