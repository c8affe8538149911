package events

import (
	"fmt"
	"regexp"
	"slices"
	"sync"

	"github.com/nyaruka/phonenumbers"
)

// numbering returns the numbering plans of the world, from the metadata of the
// phone library. The library compiles, copies and matches dozens of regular
// expressions per number, which costs more than all else that is done to a
// request; here each country is compiled once, when its first number comes. What
// it says is what the library says, and where it cannot tell it leaves the
// number to the library.
var numbering = sync.OnceValue(newNumberingPlans)

// numberingPlans holds, by country code, what makes the plan of the country; nil
// where there is no such code. The error is about a plan that asks for more than
// an automaton can do.
type numberingPlans [1000]func() (*numberingPlan, error)

// verdict is what a plan says about a number.
type verdict int

const (
	unsure      verdict = iota
	validNumber         // as it stands
	invalidNumber
)

// The lengths of a national number, as the library bounds them.
const (
	minNational = 2
	maxNational = 17
)

func newNumberingPlans() *numberingPlans {
	collection, err := phonenumbers.MetadataCollection()
	if err != nil {
		return nil // every number is left to the library, which cannot work either
	}
	byRegion, byCode := map[string]*phonenumbers.PhoneMetadata{}, map[int]*phonenumbers.PhoneMetadata{}
	for _, m := range collection.GetMetadata() {
		if m.GetId() == phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY {
			byCode[int(m.GetCountryCode())] = m
		} else {
			byRegion[m.GetId()] = m
		}
	}
	plans := &numberingPlans{}
	for code := range phonenumbers.GetSupportedCallingCodes() {
		var regions []*phonenumbers.PhoneMetadata
		for _, id := range phonenumbers.GetRegionCodesForCountryCode(code) {
			if id == phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY {
				regions = append(regions, byCode[code])
			} else {
				regions = append(regions, byRegion[id])
			}
		}
		plans[code] = sync.OnceValues(func() (*numberingPlan, error) { return newNumberingPlan(code, regions) })
	}
	return plans
}

// judge says whether digits, which start with a country code, are a valid number.
func (p *numberingPlans) judge(digits string) verdict {
	if p == nil {
		return unsure
	}
	if len(digits) < 1+minNational || digits[0] == '0' {
		return invalidNumber
	}
	code := 0
	for i := range min(3, len(digits)) {
		code = 10*code + int(digits[i]-'0')
		if made := p[code]; made != nil {
			plan, err := made()
			if err != nil {
				return unsure
			}
			return plan.judge(digits[i+1:])
		}
	}
	return invalidNumber
}

// numberingPlan is how the numbers of one country code are made.
type numberingPlan struct {
	// regions share the code, in the order in which the library asks them. The
	// national prefix is that of the first.
	regions []region
}

type region struct {
	patterns *automaton
	// lengths are the types of numbers that can have a length, by length.
	lengths [maxNational + 1]uint16
	// leading is set where the region has all numbers with certain leading
	// digits, even if they are not valid in it.
	leading bool
}

// The patterns of a region. Each type of number has one of the bits from
// firstType on; a number is valid if it fits the general description and a type.
const (
	general uint16 = 1 << iota
	leadingDigits
	nationalPrefix
	firstType

	noPattern = `[^\d\D]`
)

func newNumberingPlan(code int, regions []*phonenumbers.PhoneMetadata) (*numberingPlan, error) {
	if len(regions) == 0 {
		return nil, fmt.Errorf("country code %d has no region", code)
	}
	plan := &numberingPlan{}
	for i, m := range regions {
		if m == nil || int(m.GetCountryCode()) != code {
			return nil, fmt.Errorf("country code %d has a region without metadata of its own", code)
		}
		leading, prefix := "", ""
		if len(regions) > 1 {
			leading = m.GetLeadingDigits()
		}
		if i == 0 {
			prefix = m.GetNationalPrefixForParsing()
		}
		if err := checkPrefix(prefix, m.GetNationalPrefixTransformRule()); err != nil {
			return nil, err
		}
		r, err := newRegion(m, leading, prefix)
		if err != nil {
			return nil, err
		}
		plan.regions = append(plan.regions, r)
	}
	return plan, nil
}

// checkPrefix refuses a national prefix that would change a number in which it
// is not found. One that may be left out matches every number, and does nothing
// as long as the group that its rule asks for is left out with it.
func checkPrefix(prefix, rule string) error {
	if prefix == "" || rule == "" {
		return nil
	}
	re, err := regexp.Compile("^(?:" + prefix + ")")
	if err != nil {
		return err
	}
	if groups := re.FindStringSubmatchIndex(""); groups != nil && groups[len(groups)-2] >= 0 {
		return fmt.Errorf("the national prefix changes every number")
	}
	return nil
}

func newRegion(m *phonenumbers.PhoneMetadata, leading, prefix string) (r region, err error) {
	patterns := []string{m.GetGeneralDesc().GetNationalNumberPattern(), noPattern, noPattern}
	r.allow(general, m.GetGeneralDesc().GetPossibleLength())
	if leading != "" {
		r.leading, patterns[1] = true, leading
	}
	if prefix != "" {
		patterns[2] = prefix
	}
	types := []*phonenumbers.PhoneNumberDesc{
		m.GetPremiumRate(), m.GetTollFree(), m.GetSharedCost(), m.GetVoip(), m.GetPersonalNumber(),
		m.GetPager(), m.GetUan(), m.GetVoicemail(), m.GetFixedLine(),
	}
	if !m.GetSameMobileAndFixedLinePattern() {
		types = append(types, m.GetMobile())
	}
	for i, desc := range types {
		patterns = append(patterns, desc.GetNationalNumberPattern())
		r.allow(firstType<<i, desc.GetPossibleLength())
	}
	r.patterns, err = compileAutomaton(patterns)
	return r, err
}

// allow notes the lengths that numbers of a type can have; none means any.
func (r *region) allow(bit uint16, lengths []int32) {
	for n := range r.lengths {
		if len(lengths) == 0 || slices.Contains(lengths, int32(n)) {
			r.lengths[n] |= bit
		}
	}
}

// judge says whether national is a valid number without its country code. It
// does not take off a national prefix, and leaves such numbers to the library.
func (p *numberingPlan) judge(national string) verdict {
	if len(national) < minNational {
		return invalidNumber
	}
	for i := range p.regions {
		r := &p.regions[i]
		whole, beginning := r.patterns.run(national)
		switch {
		case beginning&nationalPrefix != 0:
			return unsure
		case len(national) > maxNational:
			return invalidNumber
		}
		if r.leading && beginning&leadingDigits == 0 {
			continue
		}
		fits := whole & r.lengths[len(national)]
		switch {
		case fits&general != 0 && fits >= firstType:
			return validNumber
		case r.leading:
			return invalidNumber
		}
	}
	return invalidNumber
}
