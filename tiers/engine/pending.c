// SPDX-License-Identifier: Apache-2.0
/* Stand-ins, weak, until breaker.c, budget.c, pace.c and window.c are there; this file then goes.
 */
#include "tiers/engine/breaker.h"
#include "tiers/engine/budget.h"
#include "tiers/engine/pace.h"
#include "tiers/engine/window.h"
#define W __attribute__((weak))
W bool breaker_allows(struct breaker *b, uint32_t n)
{
	(void)b;
	(void)n;
	return true;
}
W bool breaker_note(struct breaker *b, int e, uint32_t n)
{
	(void)b;
	(void)e;
	(void)n;
	return false;
}
W bool breaker_wrote(struct breaker *b, uint64_t x, uint64_t y, uint32_t n)
{
	(void)b;
	(void)x;
	(void)y;
	(void)n;
	return false;
}
W const char *breaker_name(enum breaker_state s)
{
	(void)s;
	return "closed";
}
W uint64_t budget_left(const struct budget *b, uint64_t l, uint32_t n)
{
	(void)b;
	(void)n;
	(void)l;
	return UINT64_MAX;
}
W void budget_spend(struct budget *b, uint64_t l, uint32_t n)
{
	(void)b;
	(void)n;
	(void)l;
}
W uint32_t budget_renewed_at(uint32_t n)
{
	return n;
}
W int window_parse(const char *t, struct window *o, char *w, size_t c)
{
	(void)t;
	(void)o;
	(void)w;
	(void)c;
	return 0;
}
W uint32_t window_wait_s(const struct window *w, uint64_t l)
{
	(void)w;
	(void)l;
	return 0;
}
W uint64_t pace_wait_ns(struct pace *p, const struct pace_limits *l, const struct pace_facts *f,
			uint64_t b, uint64_t fr, uint64_t t)
{
	(void)p;
	(void)l;
	(void)f;
	(void)b;
	(void)fr;
	(void)t;
	return 0;
}
W double pace_read_pressure(void)
{
	return 0;
}
