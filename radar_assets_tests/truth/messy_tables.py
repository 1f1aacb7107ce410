"""What `messy_day.py` amounts to, worked out by hand from `docs/definitions`, before and after its late batch.

Notes above a row say what counts and why. `s` is the duration in seconds; `ev`, `in` and `pv` are events, interactive events and page
views. `(hash)` is an id that the collector or the import makes of address and browser.
"""

VISITS = """
start     s    | device user         | ev in pv      | new   | entry exit           | channel        | client     | orders, money
# Oli, the day before: one page, so the next day is not his first.
28 20:00    0  | oli-laptop u-oli    | 1 1 1 bounce  | new   | / /                  | Direct         | desktop DE | 0 0 0
# Ann: two pages before midnight, the purchase and an automatic event after it. All of it is of the 28th.
28 23:50  960  | (hash) -            | 4 3 2 -       | new   | /sale /shoes         | Paid Search    | desktop -  | 1 60 0
# Ann again, under a new id: one page and an automatic event nine minutes later.
29 09:30  540  | (hash) -            | 2 1 1 bounce  | new   | / /                  | Organic Search | desktop -  | 0 0 0
# Bob: one page, a feature flag, web vitals, and `$pageleave` four minutes later.
29 10:00  240  | bob -               | 4 1 1 bounce  | new   | / /                  | Organic Social | mobile FR  | 0 0 0
# Dora: one page and two page pings, the last after twenty minutes. `utm_source=news%20&amp;utm_medium=email` is Email.
29 10:00  1200 | dora -              | 3 1 1 bounce  | new   | /blog /blog          | Email          | desktop -  | 0 0 0
# Eve: three pages and an identify under one session id. The device is that of the first event, the user who signed in.
29 11:00  180  | eve-1 u-eve         | 4 3 3 -       | new   | / /bye               | Organic Search | desktop DE | 0 0 0
# Finn: three pages, a checkout (no purchase), the order of the server and two repetitions of it. `gad_source` is an ad of Google.
29 11:30  240  | finn -              | 7 7 3 -       | new   | /shoes /thanks       | Paid Search    | mobile FR  | 1 25 0
# Gina: a pause of 30 minutes does not end a visit, one of 31 does.
29 12:00  1800 | gina -              | 2 2 2 -       | new   | / /about             | Direct         | desktop DE | 0 0 0
29 13:01    0  | gina -              | 1 1 1 bounce  | new   | /jobs /jobs          | Referral       | desktop DE | 0 0 0
# Hugo: a page and ten events. Orders: A 19.99, B unreadable, C 1299, twice 5 without a usable id, a donation of 7: 6 and 1335.99.
# `order_placed` counts as nothing. Refunds: 4 (the negative purchase) + 299 of C; the cancellation of A has no amount.
29 13:30  1260 | hugo u-hugo         | 11 11 1 -     | new   | /cart /cart          | AI Assistant   | desktop DE | 6 1335.99 303
# Ivy: a page, a sign-up as user 42.0, an error of 57 kB, an event with a long name and no readable time: at 14:03, its receipt.
29 14:00  180  | ivy 42              | 4 4 1 -       | new   | /login.jsp /login.jsp | Direct        | desktop DE | 0 0 0
# Jon: one event; the two resends are copies.
29 15:00    0  | jon -               | 1 1 1 bounce  | new   | /offers /offers      | Organic Social | mobile US  | 0 0 0
# Kim: 14:00 by a clock that is two hours slow; 16:01:30 as sent; 16:03 by its receipt.
29 16:00  180  | kim -               | 3 3 1 -       | new   | /gifts /gifts        | Direct         | desktop DE | 0 0 0
# Lea: three pages of one second, in the order of the request.
29 16:30    0  | lea -               | 3 3 3 -       | new   | / /de/start          | Organic Search | desktop DE | 0 0 0
# Mia: the click on the outbound link happens on the blog, and its UTM parameters are not hers.
29 17:00   60  | (hash) -            | 2 2 1 -       | new   | /blog /blog          | Direct         | desktop -  | 0 0 0
# Two strangers, not one user `undefined`.
29 17:10    0  | nil-1 -             | 1 1 1 bounce  | new   | / /                  | Direct         | desktop DE | 0 0 0
29 17:10    0  | nil-2 -             | 1 1 1 bounce  | new   | / /                  | Direct         | desktop DE | 0 0 0
# Jules: the name with a bad byte is kept, with U+FFFD in its place.
29 17:20    0  | jules -             | 2 2 1 -       | new   | /menu /menu          | Direct         | desktop DE | 0 0 0
# Kurt, in the access log: one page; the style, the redirect, the POST and the 404 are passive.
29 17:30   40  | (hash) -            | 5 1 1 bounce  | new   | /imprint /imprint    | Direct         | desktop -  | 0 0 0
# Noa: two hash routes are two pages; www.shop.example is the same site as app.shop.example, so no referrer.
29 17:40   60  | (hash) -            | 2 2 2 -       | new   | /#/pricing /#/signup | Direct         | desktop -  | 0 0 0
# Paul: two spellings of one page.
29 17:50   60  | paul -              | 2 2 2 -       | new   | /café /café          | Direct         | desktop DE | 0 0 0
# Oli on his new phone: known by his user id. A group call ends no bounce.
29 18:00   60  | oli-phone u-oli     | 2 1 1 bounce  | known | /shoes /shoes        | Direct         | mobile FR  | 0 0 0
# Pia: a page and two clicks; the request 1.5 s after the first click is a resend of it.
29 18:10   14  | (hash) -            | 3 3 1 -       | new   | /shoes /shoes        | Direct         | desktop -  | 0 0 0
# Pupils behind one address and with one kind of browser: one visitor, three page views; the request after 0.5 s is a resend.
29 18:20    2  | (hash) -            | 3 3 3 -       | new   | /class /class        | Direct         | desktop -  | 0 0 0
# A person with Sogou's browser, and the first of two devices that share an event id.
29 18:40    0  | sogou -             | 1 1 1 bounce  | new   | / /                  | Direct         | mobile CN  | 0 0 0
29 18:50    0  | sam-1 -             | 1 1 1 bounce  | new   | /a /a                | Direct         | desktop DE | 0 0 0
# Three users of one tablet: one visit, three visitors.
29 19:00  600  | tablet u-1+u-2+u-3  | 3 3 3 -       | new   | /kiosk /kiosk        | Direct         | tablet DE  | 0 0 0
# Quin: the phone and the laptop are two visitors, and the order of the server is in no visit.
29 19:30    0  | quin-phone -        | 1 1 1 bounce  | new   | /sale /sale          | Email          | mobile FR  | 0 0 0
29 20:00    0  | quin-laptop u-quin  | 1 1 1 bounce  | new   | /account /account    | Direct         | desktop DE | 0 0 0
# The boss's page without the flag.
29 20:13    0  | boss -              | 1 1 1 bounce  | new   | /shoes /shoes        | Direct         | desktop DE | 0 0 0
# Rita: the page after midnight belongs to the visit of the 29th.
29 23:50  1200 | rita -              | 2 2 2 -       | new   | /sale /shoes         | Direct         | desktop DE | 0 0 0
# In the table of sessions, but in no metric: a crawler, and internal traffic by host, user, flag and address.
29 18:30    0  | crawler bot         | 2 2 1 -       | new   | /shoes /shoes        | Direct         | bot US     | 1 99 0
29 20:10    0  | developer internal  | 1 1 1 bounce  | new   | / /                  | Direct         | desktop DE | 0 0 0
29 20:11    0  | team internal       | 2 2 1 -       | new   | / /                  | Direct         | desktop DE | 1 500 0
29 20:12    0  | boss internal       | 1 1 1 bounce  | new   | / /                  | Direct         | desktop DE | 0 0 0
29 20:14    0  | office internal     | 1 1 1 bounce  | new   | / /                  | Direct         | desktop DE | 0 0 0
"""
# The rows that the late batch adds or changes; a visit is known by start and device.
LATE_VISITS = """
# Lea and Paul were there the day before.
28 10:00    0  | lea -               | 1 1 1 bounce  | new   | / /                  | Direct         | desktop DE | 0 0 0
28 10:00    0  | paul -              | 1 1 1 bounce  | new   | / /                  | Direct         | desktop DE | 0 0 0
29 16:30    0  | lea -               | 3 3 3 -       | known | / /de/start          | Organic Search | desktop DE | 0 0 0
29 17:50   60  | paul -              | 2 2 2 -       | known | /café /café          | Direct         | desktop DE | 0 0 0
# Bob: `$pageleave` again, at 10:09. Dora: a second page at 10:25.
29 10:00  540  | bob -               | 5 1 1 bounce  | new   | / /                  | Organic Social | mobile FR  | 0 0 0
29 10:00  1500 | dora -              | 4 2 2 -       | new   | /blog /blog/2        | Email          | desktop -  | 0 0 0
# Finn: the refund at 11:50.
29 11:30  1200 | finn -              | 8 8 3 -       | new   | /shoes /thanks       | Paid Search    | mobile FR  | 1 25 25
# Gina: 12:00, 12:30, 12:45 and 13:01 are one visit, from where the first page came.
29 12:00  3660 | gina -              | 4 4 4 -       | new   | / /jobs              | Direct         | desktop DE | 0 0 0
29 13:01       | gina                | gone
# Hugo: the amount of order B at 13:40.
29 13:30  1260 | hugo u-hugo         | 12 12 1 -     | new   | /cart /cart          | AI Assistant   | desktop DE | 6 2634.99 303
# One of the strangers buys.
29 17:10  300  | nil-1 -             | 2 2 1 -       | new   | / /                  | Direct         | desktop DE | 1 30 0
# Quin's phone: the identify at 19:32 and the order of the server at 19:35, which ends the bounce.
29 19:30  300  | quin-phone u-quin   | 3 2 1 -       | new   | /sale /sale          | Email          | mobile FR  | 1 40 0
# Zoe and Yan, who were offline.
29 21:00    0  | zoe -               | 1 1 1 bounce  | new   | / /                  | Organic Social | mobile US  | 0 0 0
29 22:00   60  | yan -               | 2 2 1 -       | new   | /shoes /shoes        | Direct         | mobile US  | 0 0 0
"""

METRICS: dict[str, tuple[float, float]] = {
    # 78 in the 29 visits, less Rita's page after midnight, and in no visit of the day: Ann's purchase and engagement after midnight,
    # three of the nightly job, Carl's identify, the order of Quin. Late: gina, nil-1, finn, hugo 2, dora, bob, quin, zoe, yan 2.
    "events": (84, 95),
    # 43 in the visits, less Rita's after midnight. Late: gina, dora, zoe, yan.
    "page_views": (42, 46),
    # 29 visits: Gina has two, the tablet three visitors, and Ann did something after midnight: 29 - 1 + 2 + 1.
    # Late: Quin is one; Zoe and Yan.
    "visitors": (31, 32),
    # gus, hal, carl, eve, hugo, 42, oli, 1, 2, 3, quin: the same after the late batch.
    "users": (11, 11),
    "signups": (1, 1),
    # Ann 1, the renewal 1, Finn 1, Hugo 6, Quin 1. Late: nil-1; B and C are known.
    "orders": (10, 11),
    # And Hal's subscription.
    "conversions": (11, 12),
    # 60 + 12.50 + 25 + 1335.99 + 40. Late: 30 + 1299.
    "revenue": (1473.49, 2802.49),
    # Late: 25.
    "refunds": (303, 328),
    "net_revenue": (1170.49, 2474.49),
    "errors": (1, 1),
    "error_rate": (1 / 84, 1 / 95),
    # Late: Gina's are one; Zoe and Yan.
    "sessions": (29, 30),
    # The visitors of the visits, which are 30 without Ann after midnight, but not Oli. Late: Quin is one; Zoe and Yan are new; Lea
    # and Paul are not.
    "new_visitors": (29, 28),
    # ann, bob, dora, gina, jon, nil-1, nil-2, kurt, oli, sogou, sam-1, quin twice, boss. Late: without dora, gina, nil-1 and
    # one of Quin's, and with zoe.
    "bounce_rate": (14 / 29, 11 / 30),
    # 540 + 240 + 1200 + 180 + 240 + 1800 + 1260 + 180 + 180 + 60 + 40 + 60 + 60 + 60 + 14 + 2 + 600 + 1200 = 7916.
    # Late: bob 300, dora 300, finn 960, gina 1860, nil-1 300, quin 300, yan 60: 4080.
    "session_duration_avg_s": (7916 / 29, 11996 / 30),
    # The visits' page views, with Rita's after midnight.
    "pages_per_session": (43 / 29, 47 / 30),
}

HOURS = """
hour | events page_views visitors | orders revenue refunds | after the late batch
00   | 2 0 1    | 1 60 0
03   | 3 0 0    | 1 12.5 0
08   | 1 0 0    | 0 0 0
09   | 2 1 1    | 0 0 0
10   | 7 2 2    | 0 0 0           | 9 3 2   | 0 0 0
11   | 11 6 2   | 1 25 0          | 12 6 2  | 1 25 25
12   | 2 2 1    | 0 0 0           | 3 3 1   | 0 0 0
13   | 12 2 2   | 6 1335.99 303   | 13 2 2  | 6 2634.99 303
14   | 4 1 1    | 0 0 0
15   | 1 1 1    | 0 0 0
16   | 6 4 2    | 0 0 0
17   | 15 9 7   | 0 0 0           | 16 9 7  | 1 30 0
18   | 10 7 5   | 0 0 0
19   | 5 4 4    | 1 40 0          | 6 4 4   | 1 40 0
20   | 2 2 2    | 0 0 0           | 3 2 2   | 0 0 0
21   |          |                 | 1 1 1   | 0 0 0
22   |          |                 | 2 1 1   | 0 0 0
23   | 1 1 1    | 0 0 0
"""

# Of sessions: events, page views, visitors and sessions of the visits that start on the day. Of pages: events, page views and
# visitors of the day.
BREAKDOWNS = """
dimension value         | before        | after the late batch
channel Direct          | 41 27 21 19   | 46 30 22 20
channel Organic Search  | 9 7 3 3
channel Organic Social  | 5 2 2 2       | 7 3 3 3
channel Email           | 4 2 2 2       | 7 3 2 2
channel Paid Search     | 7 3 1 1       | 8 3 1 1
channel Referral        | 1 1 1 1       | gone
channel AI Assistant    | 11 1 1 1      | 12 1 1 1
device desktop          | 59 32 21 22   | 63 34 21 21
device mobile           | 16 8 6 6      | 23 10 8 8
device tablet           | 3 3 3 1
country DE              | 42 25 17 16   | 45 26 17 15
country FR              | 14 6 4 4      | 18 6 4 4
country US              | 1 1 1 1       | 4 3 3 3
country CN              | 1 1 1 1
country (none)          | 20 10 7 7     | 21 11 7 7
entry_page /            | 18 13 8 8     | 23 16 9 9
entry_page /blog        | 5 2 2 2       | 6 3 2 2
entry_page /shoes       | 13 6 4 4      | 16 7 5 5
entry_page /sale        | 3 3 2 2       | 5 3 2 2
entry_page /cart        | 11 1 1 1      | 12 1 1 1
entry_page /jobs        | 1 1 1 1       | gone
entry_page /login.jsp   | 4 1 1 1
entry_page /offers      | 1 1 1 1
entry_page /gifts       | 3 1 1 1
entry_page /menu        | 2 1 1 1
entry_page /imprint     | 5 1 1 1
entry_page /#/pricing   | 2 2 1 1
entry_page /café        | 2 2 1 1
entry_page /class       | 3 3 1 1
entry_page /a           | 1 1 1 1
entry_page /kiosk       | 3 3 3 1
entry_page /account     | 1 1 1 1
page (none)             | 31 0 9        | 37 0 11
page /                  | 12 8 8        | 14 9 9
page /shoes             | 8 4 5         | 9 5 6
page /blog              | 5 2 2
page /blog/2            |               | 1 1 1
page /account           | 2 2 2
page /thanks            | 2 2 1
page /sale              | 2 2 2
page /bye               | 1 1 1
page /about             | 1 1 1
page /team              |               | 1 1 1
page /jobs              | 1 1 1
page /cart              | 1 1 1
page /login.jsp         | 1 1 1
page /offers            | 1 1 1
page /gifts             | 1 1 1
page /de/               | 1 1 1
page /de/start          | 1 1 1
page /menu              | 1 1 1
page /imprint           | 1 1 1
page /#/pricing         | 1 1 1
page /#/signup          | 1 1 1
page /café              | 2 2 1
page /class             | 3 3 1
page /a                 | 1 1 1
page /kiosk             | 3 3 3
"""

WARNINGS = {
    # Ivy
    "user_id: empty": 1,
    "properties: empty": 1,
    "properties: too large": 1,
    "sent_at: empty": 1,
    "event: too long": 1,
    "timestamp: unreadable": 1,
    # Hugo: order B, and the two orders `undefined`
    "revenue: unreadable amount": 1,
    "order_id: placeholder": 2,
    # Kim
    "sent_at: before timestamp": 1,
    "timestamp: in the future": 1,
    # The strangers; the event without any usable id is rejected.
    "user_id: placeholder": 2,
}
