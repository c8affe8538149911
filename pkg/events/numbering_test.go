package events

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/nyaruka/phonenumbers"
)

func phoneMetadata(t testing.TB) []*phonenumbers.PhoneMetadata {
	t.Helper()
	collection, err := phonenumbers.MetadataCollection()
	if err != nil {
		t.Fatal(err)
	}
	return collection.GetMetadata()
}

// exampleNumbers are a number of each type of each region, as the metadata gives
// them, with their country codes.
func exampleNumbers(t testing.TB) []string {
	t.Helper()
	var numbers []string
	for _, m := range phoneMetadata(t) {
		for _, desc := range []*phonenumbers.PhoneNumberDesc{
			m.GetGeneralDesc(), m.GetFixedLine(), m.GetMobile(), m.GetTollFree(), m.GetPremiumRate(), m.GetSharedCost(),
			m.GetPersonalNumber(), m.GetVoip(), m.GetPager(), m.GetUan(), m.GetVoicemail(), m.GetNoInternationalDialling(),
		} {
			if example := desc.GetExampleNumber(); example != "" {
				numbers = append(numbers, strconv.Itoa(int(m.GetCountryCode()))+example)
			}
		}
	}
	slices.Sort(numbers)
	return slices.Compact(numbers)
}

// agree fails the test where the plans and the library differ over a number, and
// says whether the plans told.
func agree(t testing.TB, digits string) (told bool) {
	t.Helper()
	v := numbering().judge(digits)
	if v == unsure {
		return false
	}
	want, ok := libraryDigits(digits)
	if ok != (v == validNumber) || ok && want != digits {
		t.Errorf("+%s: the plans say %v, the library +%s, %v", digits, v == validNumber, want, ok)
	}
	return true
}

// The metadata of a new version of the library may ask for more than before: a
// country that falls back is slow, and not wrong.
func TestEveryCountryHasAPlan(t *testing.T) {
	codes := phonenumbers.GetSupportedCallingCodes()
	states := 0
	for code, made := range numbering() {
		if codes[code] != (made != nil) {
			t.Errorf("country code %d: supported %v, has a plan %v", code, codes[code], made != nil)
		}
		if made == nil {
			continue
		}
		plan, err := made()
		if err != nil {
			t.Errorf("country code %d: %v", code, err)
			continue
		}
		for _, r := range plan.regions {
			states += len(r.patterns.states)
		}
	}
	if states > 200_000 { // of 24 bytes
		t.Errorf("%d states in all", states)
	}
	t.Logf("%d states in all", states)
}

func TestExampleNumbersAgree(t *testing.T) {
	examples := exampleNumbers(t)
	if len(examples) < 1000 {
		t.Fatalf("only %d examples", len(examples))
	}
	unsure := 0
	for _, digits := range examples {
		if !agree(t, digits) {
			unsure++
		}
	}
	if unsure*100 > len(examples) {
		t.Errorf("%d of %d examples are left to the library", unsure, len(examples))
	}
}

// Numbers that are nearly right, right with a prefix, or of a neighbour.
func TestMutatedNumbersAgree(t *testing.T) {
	n := mutatedNumbers
	if testing.Short() {
		n = 5_000
	}
	examples := exampleNumbers(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	told := 0
	for range n {
		if agree(t, mutate(rnd, examples)) {
			told++
		}
	}
	if told < n*8/10 {
		t.Errorf("the plans told of %d numbers of %d", told, n)
	}
}

// mutate changes one of the examples in one to three ways.
func mutate(rnd *rand.Rand, examples []string) string {
	digit := func() byte { return byte('0' + rnd.IntN(10)) }
	b := []byte(examples[rnd.IntN(len(examples))])
	for range 1 + rnd.IntN(3) {
		i := rnd.IntN(len(b))
		switch rnd.IntN(8) {
		default:
			b[i] = digit()
		case 4:
			b = b[:max(1, len(b)-1-rnd.IntN(3))]
		case 5:
			b = append(b, digit())
		case 6:
			b = slices.Insert(b, i, digit())
		case 7: // a trunk prefix, or a mobile one, after the country code
			prefix := []string{"0", "1", "8", "06", "9", "15", "00", "010"}[rnd.IntN(8)]
			b = slices.Insert(b, min(len(b), 1+rnd.IntN(3)), []byte(prefix)...)
		}
	}
	return string(b[:min(len(b), maxPhoneDigits)])
}

// Each of the rules of a plan shows in a number that nothing else decides.
func TestNumbersOfEachRuleAgree(t *testing.T) {
	for _, tt := range []struct{ name, digits string }{
		{"main region of +1", "16505551212"},
		{"region of +1 with an area code of its own", "12684601234"},
		{"region of +1 without one", "15062345678"},
		{"leading digits of a region in which it is not valid", "12680601234"},
		{"leading digits of two places", "447457612345"},
		{"Vatican", "390669812345"},
		{"Kazakhstan", "77710009998"},
		{"kept zeros", "3900012345"},
		{"trunk prefix that may be missing", "541123456789"},
		{"trunk prefix that is not", "54111523456789"},
		{"prefix that the rule turns into an area code", "378886377"},
		{"prefix that the end of the number decides", "2612212345"},
		{"no country", "80012345678"},
		{"not of any country", "999123456789"},
		{"no number", "1"},
		{"one digit behind the country code", "391"},
		{"a country code of zeros", "00391234567"},
		{"eighteen digits", "49123456789012345678"},
	} {
		t.Run(tt.name, func(t *testing.T) { agree(t, tt.digits) })
	}
}

func FuzzPhoneAgainstLibrary(f *testing.F) {
	rnd := rand.New(rand.NewPCG(3, 4))
	examples := exampleNumbers(f)
	for _, digits := range examples {
		f.Add(digits)
	}
	for range 1000 {
		f.Add(mutate(rnd, examples))
	}
	f.Fuzz(func(t *testing.T, digits string) {
		if len(digits) <= maxPhoneDigits && allDigits(digits) {
			agree(t, digits)
		}
	})
}

// The rules one by one, on plans in which nothing else decides: the patterns of
// real countries mostly say again what another rule says.
func TestRulesOfAPlan(t *testing.T) {
	desc := func(pattern string, lengths ...int32) *phonenumbers.PhoneNumberDesc {
		return &phonenumbers.PhoneNumberDesc{NationalNumberPattern: new(pattern), PossibleLength: lengths}
	}
	meta := func(change func(m *phonenumbers.PhoneMetadata)) *phonenumbers.PhoneMetadata {
		m := &phonenumbers.PhoneMetadata{
			CountryCode: new(int32(7)), GeneralDesc: desc(`\d{2,6}`, 2, 3, 4, 5, 6), FixedLine: desc(`2\d*`), Mobile: desc(`3\d*`),
		}
		change(m)
		return m
	}
	plain := meta(func(*phonenumbers.PhoneMetadata) {})
	led := meta(func(m *phonenumbers.PhoneMetadata) { m.LeadingDigits = new("1|33") })
	for _, tt := range []struct {
		name    string
		regions []*phonenumbers.PhoneMetadata
		want    map[string]verdict
	}{
		{"types", []*phonenumbers.PhoneMetadata{plain}, map[string]verdict{
			"21": validNumber, "31": validNumber, "41": invalidNumber, "2": invalidNumber,
			"2123456": invalidNumber, "212345678901234567": invalidNumber,
		}},
		{
			"the general description",
			[]*phonenumbers.PhoneMetadata{meta(func(m *phonenumbers.PhoneMetadata) { m.GeneralDesc = desc(`2\d*`) })},
			map[string]verdict{"21": validNumber, "31": invalidNumber, "2": invalidNumber, "21234567890123456": validNumber},
		},
		{
			"lengths of a type",
			[]*phonenumbers.PhoneMetadata{meta(func(m *phonenumbers.PhoneMetadata) { m.Mobile = desc(`3\d*`, 4) })},
			map[string]verdict{"31": invalidNumber, "3123": validNumber, "31234": invalidNumber, "21": validNumber},
		},
		{
			"no such type",
			[]*phonenumbers.PhoneMetadata{meta(func(m *phonenumbers.PhoneMetadata) { m.Mobile = desc(`3\d*`, -1) })},
			map[string]verdict{"31": invalidNumber, "21": validNumber},
		},
		{"a pattern for both", []*phonenumbers.PhoneMetadata{
			meta(func(m *phonenumbers.PhoneMetadata) { m.SameMobileAndFixedLinePattern = new(true) }),
		}, map[string]verdict{"31": invalidNumber, "21": validNumber}},
		{"leading digits of the only region", []*phonenumbers.PhoneMetadata{led}, map[string]verdict{
			"21": validNumber, "11": invalidNumber, "33": validNumber,
		}},
		{"leading digits of two regions", []*phonenumbers.PhoneMetadata{led, plain}, map[string]verdict{
			"21": validNumber, "11": invalidNumber, "331": validNumber,
		}},
		{"a region that others follow", []*phonenumbers.PhoneMetadata{
			meta(func(m *phonenumbers.PhoneMetadata) { m.LeadingDigits, m.Mobile = new("3"), desc(``) }), plain,
		}, map[string]verdict{"31": invalidNumber, "21": validNumber}},
		{"national prefix", []*phonenumbers.PhoneMetadata{
			meta(func(m *phonenumbers.PhoneMetadata) { m.NationalPrefixForParsing = new("2?2(5$)?") }),
			meta(func(m *phonenumbers.PhoneMetadata) { m.NationalPrefixForParsing = new("3") }),
		}, map[string]verdict{"21": unsure, "31": validNumber, "212345678901234567": unsure}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			plan, err := newNumberingPlan(7, tt.regions)
			if err != nil {
				t.Fatal(err)
			}
			for national, want := range tt.want {
				if got := plan.judge(national); got != want {
					t.Errorf("%s: %d, want %d", national, got, want)
				}
			}
		})
	}
}

// What a plan cannot say for certain is left to the library.
func TestPlansThatAreRefused(t *testing.T) {
	meta := func(code int32, prefix, rule string) *phonenumbers.PhoneMetadata {
		return &phonenumbers.PhoneMetadata{
			CountryCode: new(code), NationalPrefixForParsing: new(prefix), NationalPrefixTransformRule: new(rule),
		}
	}
	for _, tt := range []struct {
		name    string
		regions []*phonenumbers.PhoneMetadata
		refused bool
	}{
		{"prefix that may be missing", []*phonenumbers.PhoneMetadata{meta(7, "0?(?:(11)15)?", "9$1")}, false},
		{"prefix without a rule", []*phonenumbers.PhoneMetadata{meta(7, "0?", "")}, false},
		{"prefix that changes all", []*phonenumbers.PhoneMetadata{meta(7, "0?", "9")}, true},
		{"group that matches nothing", []*phonenumbers.PhoneMetadata{meta(7, "(0?)", "9$1")}, true},
		{"prefix that is no pattern", []*phonenumbers.PhoneMetadata{meta(7, "(", "9$1")}, true},
		{"no region", nil, true},
		{"region without metadata", []*phonenumbers.PhoneMetadata{nil}, true},
		{"region of another code", []*phonenumbers.PhoneMetadata{meta(8, "", "")}, true},
	} {
		if _, err := newNumberingPlan(7, tt.regions); (err != nil) != tt.refused {
			t.Errorf("%s: error %v", tt.name, err)
		}
	}
}
