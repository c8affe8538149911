package events

import (
	"encoding/binary"
	"fmt"
	"math"
	"regexp/syntax"
	"slices"
)

// automaton runs several patterns over a string of digits at once, in one step
// per digit. Pattern i has the bit 1<<i.
type automaton struct{ states []state }

type state struct {
	next [10]uint16 // by digit
	// here are the patterns that match what was read, whatever follows; end are
	// those that match when nothing does.
	here, end uint16
}

const (
	deadState, startState = 0, 1

	maxPatterns = 16
	maxStates   = math.MaxUint16
)

// run returns the patterns that match the whole of digits, and those that match
// any beginning of it but the empty one.
func (a *automaton) run(digits string) (whole, beginning uint16) {
	s := &a.states[startState]
	for i := range len(digits) {
		next := s.next[digits[i]-'0']
		if next == deadState {
			return 0, beginning
		}
		s = &a.states[next]
		beginning |= s.here
	}
	if digits != "" {
		beginning |= s.end
	}
	return s.end, beginning
}

// compileAutomaton makes the automaton of regular expressions in Go's syntax,
// each anchored at the start. The error is about expressions that ask for more
// than digits in their order, or that need too many states.
func compileAutomaton(patterns []string) (*automaton, error) {
	if len(patterns) > maxPatterns {
		return nil, fmt.Errorf("%d patterns, more than %d", len(patterns), maxPatterns)
	}
	b := automatonBuilder{known: map[string]uint16{}}
	var starts []uint32
	for i, pattern := range patterns {
		start, err := b.add(pattern, i)
		if err != nil {
			return nil, err
		}
		starts = append(starts, start)
	}
	return b.build(starts)
}

// automatonBuilder follows all threads of the patterns' programs at once: where
// they stand together is one state (the subset construction).
type automatonBuilder struct {
	// insts are the programs, one after the other. The argument of a match is
	// the bit of its pattern.
	insts []syntax.Inst

	states  []state
	threads [][]uint32        // of each state, the instructions that read a digit
	known   map[string]uint16 // states by threads and matches

	// Of the state in the making: where it has been, by instruction.
	marks []mark
	round uint32
	ready state
	reads []uint32
}

// mark is the last round that reached an instruction, and that reached it with
// the text over.
type mark struct{ open, over uint32 }

// add returns where the program of pattern starts.
func (b *automatonBuilder) add(pattern string, bit int) (uint32, error) {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return 0, err
	}
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return 0, err
	}
	base := uint32(len(b.insts))
	for _, inst := range prog.Inst {
		inst.Out += base
		switch inst.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			inst.Arg += base
		case syntax.InstMatch:
			inst.Arg = 1 << bit
		case syntax.InstEmptyWidth:
			if syntax.EmptyOp(inst.Arg) != syntax.EmptyEndText {
				return 0, fmt.Errorf("pattern %d looks around itself", bit)
			}
		}
		b.insts = append(b.insts, inst)
	}
	return base + uint32(prog.Start), nil
}

func (b *automatonBuilder) build(starts []uint32) (*automaton, error) {
	b.marks = make([]mark, len(b.insts))
	b.states, b.threads = make([]state, 1), make([][]uint32, 1) // the dead one
	if _, err := b.stateAt(starts); err != nil {
		return nil, err
	}
	var after []uint32
	for s := startState; s < len(b.states); s++ {
		for digit := range rune(10) {
			after = after[:0]
			for _, pc := range b.threads[s] {
				if b.insts[pc].MatchRune('0' + digit) {
					after = append(after, b.insts[pc].Out)
				}
			}
			next, err := b.stateAt(after)
			if err != nil {
				return nil, err
			}
			b.states[s].next[digit] = next
		}
	}
	return &automaton{states: slices.Clone(b.states)}, nil
}

// stateAt returns the state of threads that stand at the instructions pcs.
func (b *automatonBuilder) stateAt(pcs []uint32) (uint16, error) {
	if len(pcs) == 0 {
		return deadState, nil
	}
	b.round++
	b.ready, b.reads = state{}, b.reads[:0]
	for _, pc := range pcs {
		b.follow(pc, false)
	}
	slices.Sort(b.reads)
	key := binary.NativeEndian.AppendUint16(nil, b.ready.here)
	key = binary.NativeEndian.AppendUint16(key, b.ready.end)
	for _, pc := range b.reads {
		key = binary.NativeEndian.AppendUint32(key, pc)
	}
	s, ok := b.known[string(key)]
	if ok {
		return s, nil
	}
	if len(b.states) >= maxStates {
		return deadState, fmt.Errorf("more than %d states", maxStates)
	}
	s = uint16(len(b.states))
	b.states = append(b.states, b.ready)
	b.threads = append(b.threads, slices.Clone(b.reads))
	b.known[string(key)] = s
	return s, nil
}

// follow adds what the thread at pc reaches without reading; over when it has
// passed a $, after which it can match but not read.
func (b *automatonBuilder) follow(pc uint32, over bool) {
	m := &b.marks[pc]
	if m.open == b.round || over && m.over == b.round {
		return
	}
	if over {
		m.over = b.round
	} else {
		m.open = b.round
	}
	switch inst := b.insts[pc]; inst.Op {
	case syntax.InstAlt, syntax.InstAltMatch:
		b.follow(inst.Out, over)
		b.follow(inst.Arg, over)
	case syntax.InstCapture, syntax.InstNop:
		b.follow(inst.Out, over)
	case syntax.InstEmptyWidth:
		b.follow(inst.Out, true)
	case syntax.InstMatch:
		b.ready.end |= uint16(inst.Arg)
		if !over {
			b.ready.here |= uint16(inst.Arg)
		}
	case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
		if !over {
			b.reads = append(b.reads, pc)
		}
	}
}
