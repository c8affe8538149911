package harness

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy is a line between two processes that can be cut.
type Proxy struct {
	Addr   string
	target string

	mu     sync.Mutex
	mode   mode
	thawed chan struct{} // closed when the line is not frozen
	conns  map[net.Conn]bool
	listen net.Listener // nil while the line is cut
	t      testing.TB
}

type mode int

const (
	through mode = iota
	cut          // connections are reset and refused
	frozen       // nothing arrives, and nobody is told
)

// NewProxy opens a line to an address. It ends with t.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	p := &Proxy{Addr: Addr(t), target: target, thawed: closedChan(), conns: map[net.Conn]bool{}, t: t}
	t.Cleanup(p.Cut)
	p.Mend()
	return p
}

func closedChan() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// Cut resets every connection and lets none come about.
func (p *Proxy) Cut() { p.set(cut) }

// Freeze holds up everything in both directions: what a lost route looks like.
func (p *Proxy) Freeze() { p.set(frozen) }

// Mend lets everything through again, what a Freeze held up too.
func (p *Proxy) Mend() { p.set(through) }

func (p *Proxy) set(m mode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mode == frozen && m != frozen {
		close(p.thawed)
	}
	if m == frozen && p.mode != frozen {
		p.thawed = make(chan struct{})
	}
	p.mode = m
	if m != cut && p.listen == nil {
		l, err := net.Listen("tcp", p.Addr)
		if err != nil {
			p.t.Errorf("the line to %s can't be mended: %v", p.target, err)
			return
		}
		p.listen = l
		go p.serve(l)
	}
	if m == cut && p.listen != nil {
		_ = p.listen.Close()
		p.listen = nil
		for c := range p.conns {
			reset(c)
		}
		clear(p.conns)
	}
}

// reset closes a connection so that the other side sees an error, not an end.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

func (p *Proxy) serve(l net.Listener) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		go p.join(in)
	}
}

// join connects a caller to the target.
func (p *Proxy) join(in net.Conn) {
	p.wait()
	out, err := net.DialTimeout("tcp", p.target, 5*time.Second)
	if err != nil || !p.keep(in, out) {
		reset(in)
		if err == nil {
			reset(out)
		}
		return
	}
	var both sync.WaitGroup
	both.Go(func() { p.copy(out, in) })
	both.Go(func() { p.copy(in, out) })
	both.Wait()
	p.mu.Lock()
	delete(p.conns, in)
	delete(p.conns, out)
	p.mu.Unlock()
	_ = in.Close()
	_ = out.Close()
}

// keep remembers connections to be cut; false when the line is cut already.
func (p *Proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mode == cut {
		return false
	}
	for _, c := range conns {
		p.conns[c] = true
	}
	return true
}

func (p *Proxy) wait() {
	p.mu.Lock()
	thawed := p.thawed
	p.mu.Unlock()
	<-thawed
}

// copy passes bytes on until one side ends, and tells the other.
func (p *Proxy) copy(to, from net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			p.wait()
			if _, werr := to.Write(buf[:n]); werr != nil {
				err = werr
			}
		}
		if err != nil {
			if tcp, ok := to.(*net.TCPConn); ok && errors.Is(err, io.EOF) {
				_ = tcp.CloseWrite()
				return
			}
			_ = to.Close()
			return
		}
	}
}
