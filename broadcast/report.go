package broadcast

// An event is a report that is to be made.
type event struct {
	s  *Sink
	st SinkStats
}

// tell has the state of s reported. One goroutine makes all the reports there are, in
// their order, and ends after the last.
func (b *Broadcast) tell(s *Sink) {
	if b.report == nil {
		return
	}
	b.events = append(b.events, event{s, s.stats()})
	if !b.telling {
		b.telling = true
		go b.reports()
	}
}

func (b *Broadcast) reports() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.events) > 0 {
		events := b.events
		b.events = nil
		b.mu.Unlock()
		for _, e := range events {
			b.report(e.s, e.st)
		}
		b.mu.Lock()
	}
	b.telling = false
	b.changed()
}
