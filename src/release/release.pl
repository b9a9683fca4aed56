# Ends what processes of Pgpool-II have with nodes that are about to stop; runs as its user, inside its container.
#
# A server that stops says so on each of its connections. A process that reads that together with the answer to what it
# has just asked (each Sync goes to every node) waits for one answer more, for ever, and its client with it; and what
# it sends to one that has gone ends its client's session. So each is stopped at a moment when nothing is under way
# between it and the nodes: when it waits for its client, or, for a while already, for another node, and has read what
# these had to say; or when it passes on a long answer of another node. Then its number is printed, and since when the nodes must
# have answered: whoever started this says `quiet` if they did and wait for more, and once there is nothing to
# read from them either, ends the servers' side and says `ended`. The process goes on, and reads of the end where it
# expects that.
use strict;
use warnings;
use Time::HiRes qw(time sleep);

my ($limit, $hosts, @left) = @ARGV;     # seconds; the nodes; the processes that have a client and a connection to one
my $port = sprintf '%04X', 5432;        # of the nodes, and of the pool
my @addresses = map { gethostbyname $_ or die "$_ has no address\n" } split /,/, $hosts;
my $nodes = '(?:'.join('|', map { sprintf '%08X', unpack 'L', $_ } @addresses)."):$port";
my $end = time + $limit;
my $calm = time + 2;                    # one that has not waited for its client by then is taken where it waits for a node
my $while = 0.02;                       # seconds: by then the nodes that have no work have mostly answered
my $long = 0.3;                         # and by then surely
my $lasting = 1;                        # an answer that is passed on for so long is not over in the next moment
my $pause = 0.2;                        # between two attempts to stop one that passes on an answer
my $recent = 0.01;                      # since a look so long ago it has hardly asked more than once
my $unread = '[0-9A-F]+:(?!0+ )[0-9A-F]+';   # the queues of a socket in net/tcp, what is to be read not 0
my $blink = 60_000;                     # nanoseconds of work: nobody wakes up, reads and writes in less
my ($stopped, %open, %runs, %looked);   # the last by process: how often it had run, and when that was looked at
my (%still, %moved);                    # since when it has been seen not to run, and when it may last have
my (%works, %tried);                    # since when it has been seen at work at each look; the last attempt then

$| = 1;
$SIG{$_} = sub { exit 1 } for qw(ALRM HUP INT PIPE TERM);
END { go_on() }

# Afterwards it runs because of us.
sub go_on {
  return if !$stopped;
  kill 'CONT', $stopped;
  delete $looked{$stopped};
  $stopped = undef;
}

# A file of /proc as it is now, empty where it is no more. To open one takes a hundred times as long as to read it.
sub text {
  my ($name, $text) = ($_[0], '');
  if (!$open{$name} && !sysopen $open{$name}, "/proc/$name", 0) {
    %open = ();                         # perhaps they are too many
    sysopen $open{$name}, "/proc/$name", 0 or delete $open{$name};
  }
  my $file = $open{$name} or return '';
  sysseek $file, 0, 0;
  1 while sysread $file, $text, 65536, length $text;
  return $text;
}

# For how many nanoseconds it ran, and how often.
sub ran { return (split(' ', text("$_[0]/schedstat")), 0, 0, 0)[0, 2] }

# In the middle of a query it may wait for several as well.
sub waits_for_client { my $pid = shift; return is_in($pid, 'poll|select') && is_idle($pid) }
sub waits_for_node {
  my $pid = shift;
  return time - $still{$pid} > ($moved{$pid} ? $while : $long) && is_in($pid, 'wait_woken|wait_data|recv');
}
sub passes_on {
  my $pid = shift;
  if (is_idle($pid)) { delete $works{$pid} } else { $works{$pid} //= time }
  return 0 if !$works{$pid} || time - $works{$pid} < $lasting || time - ($tried{$pid} // 0) < $pause;
  return $tried{$pid} = time;
}
sub is_idle { return title($_[0]) =~ / idle( in transaction)? *\0*$/ }
sub is_in { return text("$_[0]/wchan") =~ /$_[1]/ }
sub title { return text("$_[0]/cmdline") }

# A connection to one of the nodes is there; as the second: and there is something to read from it; or from the client,
# which would be done first.
sub is_connected { return has_socket($_[0], '\S+', $nodes, '\S+') }
sub has_unread { return has_socket($_[0], '\S+', $nodes, $unread) }
sub has_demand { return has_socket($_[0], "[0-9A-F]+:$port", '\S+', $unread) }

sub has_socket { # PROCESS NEAR-END FAR-END QUEUES
  my ($pid, $near, $far, $queues) = @_;
  my %sockets = map { (readlink // '') =~ /^socket:\[(\d+)\]/ ? ($1 => 1) : () } glob "/proc/$pid/fd/*";
  my $connections = text('net/tcp');
  while ($connections =~ / $near $far 01 $queues \S+ \S+ +\d+ +\d+ (\d+) /g) { return 1 if $sockets{$1} }
  return 0;
}

# Stops it where it waits, and tells as above. If it woke up before it stood, or an answer comes, it goes on.
sub hold { # PROCESS
  my $pid = shift;
  my ($work, $runs) = ran($pid);
  if ($runs != ($runs{$pid} // -1)) {
    $still{$pid} = time;
    # Since an earlier look it may have asked the node more than once.
    my $last = $looked{$pid} // 0;
    $moved{$pid} = time - $last < $recent ? $last : 0;
  }
  $runs{$pid} = $runs;
  $looked{$pid} = time;
  my $passes_on = passes_on($pid);
  my $for_client = waits_for_client($pid);
  return if !$for_client && (time < $calm || !waits_for_node($pid) && !$passes_on);
  $stopped = $pid;
  kill 'STOP', $pid;
  my $stands;
  for (1 .. 100) { last if $stands = text("$pid/stat") =~ /\) T/; sleep 0.0001 }
  my ($more, $again) = ran($pid);
  my $waited = $again - $runs <= 1 && $more - $work < $blink;
  if ($stands && ($waited || $passes_on && !is_idle($pid)) && ($for_client || !has_demand($pid))) {
    sleep 0.002;                        # what it sent has come to the nodes
    return "$pid ".($for_client || $passes_on ? 0 : $moved{$pid}) if !has_unread($pid);
  }
  go_on();
  return;
}

sub asked { # LINE: what was said to it
  print "$_[0]\n";
  alarm 5;
  my $answer = <STDIN> // exit 1;
  alarm 0;
  return $answer;
}

# What Pgpool-II tells of the others was once.
@left = grep { is_connected($_) } @left;
while (@left && time < $end) {
  my @still;
  for my $pid (@left) {
    if (time >= $end) { push @still, $pid; next }
    # One that has no client any more has nothing under way, and looks at its connections before the next.
    next if title($pid) !~ /^pgpool: (?!wait for )/;
    my $held = hold($pid);
    my $ended = $held && asked($held) =~ /quiet/ && !has_unread($pid) && asked("end $pid") =~ /ended/;
    go_on();
    push @still, $pid if !$ended && (!$held || is_connected($pid));
  }
  @left = @still;
  sleep 0.0005 if @left;
}
for my $pid (@left) { asked("left $pid") if is_connected($pid) }
