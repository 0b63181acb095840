"""The countries of the world and their capitals: the members and observers of the United Nations, Kosovo and Taiwan.

A line of the table reads `country (other names) : capital (other spellings)`; the first name of each is the one that
answers use. Where a country has several capitals it is the constitutional one, or else the seat of its parliament.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TABLE = """
Afghanistan : Kabul
Albania : Tirana
Algeria : Algiers
Andorra : Andorra la Vella
Angola : Luanda
Antigua and Barbuda (Antigua) : Saint John's (St. John's)
Argentina : Buenos Aires
Armenia : Yerevan
Australia : Canberra
Austria : Vienna (Wien)
Azerbaijan : Baku
the Bahamas (Bahamas) : Nassau
Bahrain : Manama
Bangladesh : Dhaka (Dacca)
Barbados : Bridgetown
Belarus : Minsk
Belgium : Brussels
Belize : Belmopan
Benin : Porto-Novo (Porto Novo)
Bhutan : Thimphu
Bolivia : Sucre
Bosnia and Herzegovina (Bosnia) : Sarajevo
Botswana : Gaborone
Brazil (Brasil) : Brasilia (Brasília)
Brunei : Bandar Seri Begawan
Bulgaria : Sofia
Burkina Faso : Ouagadougou
Burundi : Gitega
Cambodia : Phnom Penh
Cameroon : Yaounde (Yaoundé)
Canada : Ottawa
Cape Verde (Cabo Verde) : Praia
the Central African Republic (Central African Republic) : Bangui
Chad : N'Djamena (Ndjamena)
Chile : Santiago (Santiago de Chile)
China (the People's Republic of China) : Beijing (Peking)
Colombia : Bogota (Bogotá)
the Comoros (Comoros) : Moroni
the Democratic Republic of the Congo (DR Congo, the DRC, Congo-Kinshasa) : Kinshasa
the Republic of the Congo (Congo-Brazzaville) : Brazzaville
Costa Rica : San Jose (San José)
Croatia : Zagreb
Cuba : Havana (La Habana)
Cyprus : Nicosia
the Czech Republic (Czechia, Czech Republic) : Prague (Praha)
Denmark : Copenhagen (København)
Djibouti : Djibouti City
Dominica : Roseau
the Dominican Republic (Dominican Republic) : Santo Domingo
Ecuador : Quito
Egypt : Cairo
El Salvador : San Salvador
Equatorial Guinea : Malabo
Eritrea : Asmara
Estonia : Tallinn
Eswatini (Swaziland) : Mbabane
Ethiopia : Addis Ababa
Fiji : Suva
Finland : Helsinki
France : Paris
Gabon : Libreville
the Gambia (Gambia) : Banjul
Georgia : Tbilisi
Germany : Berlin
Ghana : Accra
Greece : Athens
Grenada : Saint George's (St. George's)
Guatemala : Guatemala City
Guinea : Conakry
Guinea-Bissau (Guinea Bissau) : Bissau
Guyana : Georgetown
Haiti : Port-au-Prince (Port au Prince)
Honduras : Tegucigalpa
Hungary : Budapest
Iceland : Reykjavik (Reykjavík)
India : New Delhi
Indonesia : Jakarta
Iran : Tehran (Teheran)
Iraq : Baghdad
Ireland : Dublin
Israel : Jerusalem
Italy : Rome (Roma)
Ivory Coast (the Ivory Coast, Côte d'Ivoire) : Yamoussoukro
Jamaica : Kingston
Japan : Tokyo
Jordan : Amman
Kazakhstan : Astana
Kenya : Nairobi
Kiribati : South Tarawa (Tarawa)
Kosovo : Pristina
Kuwait : Kuwait City
Kyrgyzstan : Bishkek
Laos : Vientiane
Latvia : Riga
Lebanon : Beirut
Lesotho : Maseru
Liberia : Monrovia
Libya : Tripoli
Liechtenstein : Vaduz
Lithuania : Vilnius
Luxembourg : Luxembourg City
Madagascar : Antananarivo
Malawi : Lilongwe
Malaysia : Kuala Lumpur
the Maldives (Maldives) : Male (Malé)
Mali : Bamako
Malta : Valletta
the Marshall Islands (Marshall Islands) : Majuro
Mauritania : Nouakchott
Mauritius : Port Louis
Mexico : Mexico City
Micronesia : Palikir
Moldova : Chisinau (Chișinău)
Monaco : Monaco City
Mongolia : Ulaanbaatar (Ulan Bator)
Montenegro : Podgorica
Morocco : Rabat
Mozambique : Maputo
Myanmar (Burma) : Naypyidaw
Namibia : Windhoek
Nauru : Yaren
Nepal : Kathmandu
the Netherlands (Netherlands, Holland) : Amsterdam
New Zealand : Wellington
Nicaragua : Managua
Niger : Niamey
Nigeria : Abuja
North Korea : Pyongyang
North Macedonia (Macedonia) : Skopje
Norway : Oslo
Oman : Muscat
Pakistan : Islamabad
Palau : Ngerulmud
Palestine : Ramallah
Panama : Panama City
Papua New Guinea : Port Moresby
Paraguay : Asuncion (Asunción)
Peru : Lima
the Philippines (Philippines) : Manila
Poland : Warsaw (Warszawa)
Portugal : Lisbon (Lisboa)
Qatar : Doha
Romania : Bucharest
Russia : Moscow (Moskva)
Rwanda : Kigali
Saint Kitts and Nevis (St. Kitts and Nevis) : Basseterre
Saint Lucia (St. Lucia) : Castries
Saint Vincent and the Grenadines (St. Vincent) : Kingstown
Samoa : Apia
San Marino : San Marino City
Sao Tome and Principe (São Tomé and Príncipe, Sao Tome) : Sao Tome (São Tomé)
Saudi Arabia : Riyadh
Senegal : Dakar
Serbia : Belgrade (Beograd)
the Seychelles (Seychelles) : Victoria
Sierra Leone : Freetown
Singapore : Singapore
Slovakia : Bratislava
Slovenia : Ljubljana
the Solomon Islands (Solomon Islands) : Honiara
Somalia : Mogadishu
South Africa : Pretoria
South Korea (Korea) : Seoul
South Sudan : Juba
Spain : Madrid
Sri Lanka : Sri Jayawardenepura Kotte (Kotte)
Sudan : Khartoum
Suriname : Paramaribo
Sweden : Stockholm
Switzerland : Bern (Berne)
Syria : Damascus
Taiwan : Taipei
Tajikistan : Dushanbe
Tanzania : Dodoma
Thailand : Bangkok
Timor-Leste (East Timor) : Dili
Togo : Lome (Lomé)
Tonga : Nuku'alofa (Nukualofa)
Trinidad and Tobago (Trinidad) : Port of Spain
Tunisia : Tunis
Turkey (Türkiye) : Ankara
Turkmenistan : Ashgabat
Tuvalu : Funafuti
Uganda : Kampala
Ukraine : Kyiv (Kiev)
the United Arab Emirates (United Arab Emirates, the UAE) : Abu Dhabi
the United Kingdom (United Kingdom, the UK, Great Britain, England) : London
the United States (United States, the USA, USA, the US, the United States of America, America) : Washington, D.C.
Uruguay : Montevideo
Uzbekistan : Tashkent
Vanuatu : Port Vila
Vatican City (the Vatican) : Vatican City
Venezuela : Caracas
Vietnam : Hanoi
Yemen : Sanaa (Sana'a)
Zambia : Lusaka
Zimbabwe : Harare
"""

# Places that a person may ask about in the same words and that have no such capital.
NO_COUNTRY = (
    "Atlantis",
    "Narnia",
    "Wonderland",
    "the moon",
    "Mars",
    "the ocean",
    "Neverland",
    "Utopia",
    "Middle-earth",
    "Antarctica",
    "Lilliput",
    "the sun",
)


@dataclass(frozen=True)
class Country:
    """A country as a sentence names it (`the Netherlands`), its capital, and what else people call the two."""

    name: str
    capital: str
    other_names: tuple[str, ...]
    other_capitals: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, *self.other_names)

    @property
    def capitals(self) -> tuple[str, ...]:
        return (self.capital, *self.other_capitals)


def _countries() -> Iterator[Country]:
    for line in _TABLE.strip().splitlines():
        parts = re.fullmatch(r"(.+?)(?: \((.+)\))? : (.+?)(?: \((.+)\))?", line)
        assert parts, line
        name, names, capital, capitals = parts.groups()
        yield Country(name, capital, _names(names), _names(capitals))


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(text.split(", ")) if text else ()


COUNTRIES = tuple(_countries())
