#!/usr/sbin/dtrace -s
/*
 * What happens to backends and slots, in order. More is told in timeline.bt. This one also tells how many of the
 * backend's slots are in which state after a change.
 *
 *   dtrace -s examples/tracing/timeline.d -p PID
 */

#pragma D option quiet

dtrace:::BEGIN
{
	start = timestamp;
	printf("Tracing changes. Ctrl-C ends it.\n");
}

qorb$target:::slot-state-change
/copyinstr(arg3) == "Connecting" || copyinstr(arg3) == "Terminated" ||
 copyinstr(arg4) == "Connecting" || copyinstr(arg4) == "Terminated"/
{
	this->stats = copyinstr(arg5);
	printf("%8d ms %s: %s slot %d.%d %s -> %s (connecting %s, unclaimed %s, checking %s, claimed %s)\n",
	    (timestamp - start) / 1000000, copyinstr(arg0), copyinstr(arg1), arg2 >> 48, arg2 & 0xffffffffffff,
	    copyinstr(arg3), copyinstr(arg4), json(this->stats, "ok.connecting_slots"), json(this->stats, "ok.unclaimed_slots"),
	    json(this->stats, "ok.checking_slots"), json(this->stats, "ok.claimed_slots"));
}

/* It fires each time that a backend begins or ceases to have unclaimed slots, too. */
qorb$target:::slot-set-online
/!online[copyinstr(arg0), copyinstr(arg1)]/
{
	online[copyinstr(arg0), copyinstr(arg1)] = 1;
	printf("%8d ms %s: %s online\n", (timestamp - start) / 1000000, copyinstr(arg0), copyinstr(arg1));
}

qorb$target:::slot-set-offline
{
	online[copyinstr(arg0), copyinstr(arg1)] = 0;
	printf("%8d ms %s: %s offline\n", (timestamp - start) / 1000000, copyinstr(arg0), copyinstr(arg1));
}

qorb$target:::rebalance-start
{
	began[copyinstr(arg0)] = timestamp;
}

qorb$target:::rebalance-done
/began[copyinstr(arg0)]/
{
	printf("%8d ms %s: rebalanced in %d us\n", (timestamp - start) / 1000000, copyinstr(arg0),
	    (timestamp - began[copyinstr(arg0)]) / 1000);
	began[copyinstr(arg0)] = 0;
}
