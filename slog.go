package zerocopy

import (
	"errors"
	"log/slog"
)

var (
	_ slog.LogValuer = Report{}
	_ slog.LogValuer = Plan{}
	_ slog.LogValuer = Step{}
)

// LogValue implements [slog.LogValuer]: a group for a log that is queried, where
// [Report.String] is a line to be read. It is made only if the record is handled.
//
//	src, dst          types of the ends as they were passed
//	bytes             bytes that the destination accepted
//	elapsed           duration from call to return
//	by                a group: bytes by mechanism, of those that moved some
//	reason, end, type what kept the most bytes from the kernel, where something did
//	errno             the kernel's answer, where that is the reason
//	err               what the copy returned, if not nil
//	unwritten         bytes in a PartialError, if there is one
//
// Bytes that were in user memory before the copy began and the start of a stream are
// the reason only where there is no other.
func (r Report) LogValue() slog.Value {
	attrs := make([]slog.Attr, 0, 12)
	attrs = append(attrs, slog.String("src", r.Src), slog.String("dst", r.Dst),
		slog.Int64("bytes", r.Written), slog.Duration("elapsed", r.Elapsed))
	var by []slog.Attr
	for m := range mechanisms {
		if n := r.Bytes(m); n > 0 {
			by = append(by, slog.Int64(m.String(), n))
		}
	}
	if by != nil {
		attrs = append(attrs, slog.Attr{Key: "by", Value: slog.GroupValue(by...)})
	}
	attrs = mainReason(r.Steps).appendReason(attrs)
	if r.Err != nil {
		attrs = append(attrs, slog.Any("err", r.Err))
		var partial *PartialError
		if errors.As(r.Err, &partial) {
			attrs = append(attrs, slog.Int("unwritten", len(partial.Unwritten)))
		}
	}
	return slog.GroupValue(attrs...)
}

// mainReason returns the step whose reason kept the most bytes from the kernel, a
// prefix or the start of a stream only where there is no other.
func mainReason(steps []Step) Step {
	var most Step
	rank := func(s Step) int {
		switch s.Reason {
		case ReasonNone:
			return 0
		case ReasonPrefix, ReasonStart:
			return 1
		}
		return 2
	}
	for _, s := range steps {
		if a, b := rank(s), rank(most); a > b || a == b && s.Bytes > most.Bytes {
			most = s
		}
	}
	return most
}

// appendReason appends why s is not done by the kernel alone.
func (s Step) appendReason(attrs []slog.Attr) []slog.Attr {
	if s.Reason == ReasonNone {
		return attrs
	}
	attrs = append(attrs, slog.String("reason", s.Reason.String()))
	if s.End != NoEnd {
		attrs = append(attrs, slog.String("end", s.End.String()))
	}
	if s.Type != "" {
		attrs = append(attrs, slog.String("type", s.Type))
	}
	if s.Err != nil {
		attrs = append(attrs, slog.String("errno", s.Err.Error()))
	}
	return attrs
}

// LogValue implements [slog.LogValuer]: a group of mechanism, route, bytes, calls,
// reason, end, type and errno, without those that are not known.
func (s Step) LogValue() slog.Value {
	attrs := s.appendRoute(make([]slog.Attr, 0, 8))
	if s.Bytes >= 0 {
		attrs = append(attrs, slog.Int64("bytes", s.Bytes))
	}
	if s.Calls != 0 {
		attrs = append(attrs, slog.Int64("calls", s.Calls))
	}
	return slog.GroupValue(s.appendReason(attrs)...)
}

// appendRoute appends which way s goes.
func (s Step) appendRoute(attrs []slog.Attr) []slog.Attr {
	attrs = append(attrs, slog.String("mechanism", s.Mechanism.String()))
	if s.Route != "" {
		attrs = append(attrs, slog.String("route", s.Route))
	}
	return attrs
}

// LogValue implements [slog.LogValuer]: a group of plan, which is [Plan.String], and of
// mechanism, route, reason, end and type of [Plan.Main].
func (p Plan) LogValue() slog.Value {
	attrs := append(make([]slog.Attr, 0, 6), slog.String("plan", p.String()))
	if main := p.Main(); main.Mechanism != Buffered || main.Reason != ReasonNone { // there is one
		attrs = main.appendReason(main.appendRoute(attrs))
	}
	return slog.GroupValue(attrs...)
}
