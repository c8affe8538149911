package harness

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
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
	pairs  map[*pair]bool
	listen net.Listener  // nil while nothing can be dialled
	over   chan struct{} // closed with the test
	t      testing.TB
}

// pair is one connection over the line: what the caller has, and what the target
// has.
type pair struct {
	in, out  net.Conn
	stranded atomic.Bool
}

type mode int

const (
	through  mode = iota
	cut           // connections are reset and refused
	frozen        // nothing arrives, and nobody is told
	stranded      // as frozen, and what is on its way is lost for good
)

// NewProxy opens a line to an address. It ends with t.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	p := &Proxy{Addr: Addr(t), target: target, thawed: closedChan(), pairs: map[*pair]bool{}, over: make(chan struct{}), t: t}
	t.Cleanup(func() { p.Cut(); close(p.over) })
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

// Strand leaves every connection half open: each side thinks that the other is
// there, and nothing arrives any more, not after a Mend either. A firewall that
// forgets its connections does that. None can come about until the Mend.
func (p *Proxy) Strand() { p.set(stranded) }

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
	if open := m == through || m == frozen; open && p.listen == nil {
		l, err := net.Listen("tcp", p.Addr)
		if err != nil {
			p.t.Errorf("the line to %s can't be mended: %v", p.target, err)
			return
		}
		p.listen = l
		go p.serve(l)
	} else if !open && p.listen != nil {
		_ = p.listen.Close()
		p.listen = nil
	}
	for c := range p.pairs {
		switch {
		case m == stranded:
			c.stranded.Store(true)
		case m == cut && !c.stranded.Load():
			reset(c.in)
			reset(c.out)
			delete(p.pairs, c)
		}
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
	p.wait(&pair{})
	out, err := net.DialTimeout("tcp", p.target, 5*time.Second)
	if err != nil {
		reset(in)
		return
	}
	c := &pair{in: in, out: out}
	if !p.keep(c) {
		reset(in)
		reset(out)
		return
	}
	var both sync.WaitGroup
	both.Go(func() { p.copy(c, out, in) })
	both.Go(func() { p.copy(c, in, out) })
	both.Wait()
	p.mu.Lock()
	delete(p.pairs, c)
	p.mu.Unlock()
	_ = in.Close()
	_ = out.Close()
}

// keep remembers a connection to be cut; false when the line is cut already.
func (p *Proxy) keep(c *pair) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mode == cut || p.mode == stranded {
		return false
	}
	p.pairs[c] = true
	return true
}

// wait holds up what is on its way; false when it will never arrive.
func (p *Proxy) wait(c *pair) bool {
	p.mu.Lock()
	thawed := p.thawed
	p.mu.Unlock()
	<-thawed
	return !c.stranded.Load()
}

// copy passes bytes on until one side ends, and tells the other.
func (p *Proxy) copy(c *pair, to, from net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if !p.wait(c) {
			<-p.over // not even an end arrives
			return
		}
		if n > 0 {
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
